package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/api/wire/heartbeat"
	"github.com/bothy-env/bothy/internal/fleet"
)

// streams counts what each caller has open, so that one cannot take all there is.
type streams struct {
	most int

	mu   sync.Mutex
	open map[string]int
	// idle is closed when the last one has ended; nil while none is open.
	idle chan struct{}
	all  int
}

func (s *streams) enter(user string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[user] >= s.most {
		return problem(fleet.CodeQuota, "end streams that are not needed, such as bothy shell and bothy logs -f, or raise max_streams in bothyd's configuration",
			"%s has %d streams open, the limit of this daemon (max_streams)", user, s.most)
	}
	if s.open == nil {
		s.open = map[string]int{}
	}
	s.open[user]++
	if s.all++; s.all == 1 {
		s.idle = make(chan struct{})
	}
	return nil
}

func (s *streams) leave(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[user]--; s.open[user] == 0 {
		delete(s.open, user)
	}
	if s.all--; s.all == 0 {
		close(s.idle)
	}
}

// wait returns when no stream is open, or with ctx's error.
func (s *streams) wait(ctx context.Context) error {
	s.mu.Lock()
	idle, all := s.idle, s.all
	s.mu.Unlock()
	if all == 0 {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stream makes a route's answer out of a handler that writes it by itself, for
// as long as it takes. The handler's ctx ends with the client or the daemon. An error that it returns is
// answered if nothing has been written yet.
func (s *Server) stream(handle func(ctx context.Context, w http.ResponseWriter, r *http.Request) error) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		r, w := humachi.Unwrap(hctx)
		user := caller(r.Context()).User
		if r.Method == http.MethodHead {
			fail(w, r, withStatus(http.StatusMethodNotAllowed, fleet.CodeInvalid, "allowed: GET", "HEAD is not allowed at a stream"))
			return
		}
		if err := s.streams.enter(user); err != nil {
			fail(w, r, err)
			return
		}
		defer s.streams.leave(user)
		ctx, cancel := context.WithCancelCause(r.Context())
		defer cancel(nil)
		defer context.AfterFunc(s.stopping, func() { cancel(context.Cause(s.stopping)) })()
		defer s.watchAccess(w, r, cancel)()
		liftDeadlines(w)
		if err := handle(ctx, w, r.WithContext(ctx)); err != nil {
			fail(w, r, s.ended(ctx, err))
		}
	}}
}

// ended says it when the daemon's stop, or the end of the caller's access, is what ended a stream.
func (s *Server) ended(ctx context.Context, err error) error {
	if p := revoked(ctx); p != nil {
		return p
	}
	if cause := context.Cause(ctx); errors.Is(cause, errStopping) {
		return problem(fleet.CodeUnavailable, "retry when bothyd runs again", "%s", errStopping)
	}
	return err
}

// liftDeadlines lets a stream take longer than a request may.
func liftDeadlines(w http.ResponseWriter) {
	rc := http.NewResponseController(w)
	// A connection that cannot take deadlines has none.
	_ = rc.SetReadDeadline(time.Time{})
	_ = rc.SetWriteDeadline(time.Time{})
}

// lines writes one JSON value a line, each sent at once, and empty lines while there is nothing to say: a quiet stream is
// alive, and one whose client has gone without a word is found out.
type lines struct {
	w    http.ResponseWriter
	rc   *http.ResponseController
	beat heartbeat.Timing
	// gone ends the stream's work when its client has gone; stop ends the empty lines, and stopped says that they have.
	gone          context.CancelCauseFunc
	stop, stopped chan struct{}

	mu sync.Mutex
	// begun says that the head was sent, quiet that nothing was written since the last look.
	begun, quiet, failed bool
}

// newLines makes a stream of lines, to be closed before its handler returns. ctx ends with its client.
func (s *Server) newLines(ctx context.Context, w http.ResponseWriter) (context.Context, *lines) {
	ctx, gone := context.WithCancelCause(ctx)
	l := &lines{w: w, rc: http.NewResponseController(w), beat: s.cfg.Heartbeat, gone: gone, stop: make(chan struct{}), stopped: make(chan struct{})}
	go l.keepAlive()
	return ctx, l
}

// close ends the empty lines: nothing may be written once the handler has returned.
func (l *lines) close() {
	close(l.stop)
	<-l.stopped
	l.gone(nil)
}

func (l *lines) keepAlive() {
	defer close(l.stopped)
	tick := time.NewTicker(l.beat.Every)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		l.mu.Lock()
		if l.begun && l.quiet {
			_ = l.put([]byte("\n")) // A failure ends the stream's work.
		}
		l.quiet = true
		l.mu.Unlock()
	}
}

// begin sends the head, so that the client knows that the stream stands before there is a line.
func (l *lines) begin() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.begun {
		return nil
	}
	return l.put(nil)
}

func (l *lines) write(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.put(append(data, '\n'))
}

// put sends bytes; a client that takes nothing for as long as the patience is gone.
func (l *lines) put(data []byte) error {
	if l.failed {
		return errGone
	}
	if !l.begun {
		l.begun = true
		l.w.Header().Set("Content-Type", ndjson)
		if data == nil {
			l.w.WriteHeader(http.StatusOK)
		}
	}
	l.quiet = false
	// A connection that cannot take deadlines has none.
	_ = l.rc.SetWriteDeadline(realTime().Add(l.beat.Patience))
	_, err := l.w.Write(data)
	if err == nil {
		err = l.rc.Flush()
	}
	_ = l.rc.SetWriteDeadline(time.Time{})
	if l.failed = err != nil; l.failed {
		l.gone(errGone)
		return errGone
	}
	return nil
}

// errGone says that the client is not there any more; nobody is left to tell.
var errGone = errors.New("client is gone")

// end ends the stream; an error becomes its last line, or the answer when there is no line yet.
func (l *lines) end(ctx context.Context, s *Server, err error) error {
	l.mu.Lock()
	begun := l.begun
	l.mu.Unlock()
	switch {
	case err == nil:
		_ = l.begin() // Who is gone misses it.
		return nil
	case errors.Is(err, errGone):
		return nil
	case !begun:
		return err
	}
	_ = l.write(wire.StreamEnd{Problem: problemOf(ctx, s.ended(ctx, err))}) // Who is gone misses it.
	return nil
}
