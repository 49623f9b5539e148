package api

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// realTime is the clock of I/O deadlines and of the durations in the log. No
// decision about an environment rests on it; those use the daemon's.
var realTime = time.Now //nolint:forbidigo // deadlines on sockets are set on the real clock

// request is what is known about a request besides its content.
type request struct {
	// id finds the request in the log.
	id string
	// path is what was asked for.
	path string
	// peer is who the listener authenticated, who is what they may do.
	peer peer
	who  fleet.Identity
	log  *slog.Logger
	// uses is the environment that the request uses, as it was named; "" for a request that uses none.
	uses string
	// again says who asks as of now, by the same proof; nil for a request that needs none.
	again func() (fleet.Identity, error)
	// turn releases the turn of a large body; nil without one.
	turn func()
}

// bodyDone says that the body was decoded.
func (r *request) bodyDone() {
	if r.turn != nil {
		r.turn()
	}
}

type requestKey struct{}

func withRequest(ctx context.Context, r *request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// requestOf gives the request that ctx belongs to; outside of one, an empty one that logs as usual.
func requestOf(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{id: "-", log: slog.Default()}
}

// caller gives who asks, for their first team.
func caller(ctx context.Context) fleet.Identity { return requestOf(ctx).who }

// recorder remembers whether an answer has begun.
type recorder struct {
	http.ResponseWriter
	status   int
	hijacked bool
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 || w.status == http.StatusContinue {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack hands the connection over, to a WebSocket.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.hijacked = true
	return http.NewResponseController(w.ResponseWriter).Hijack()
}
