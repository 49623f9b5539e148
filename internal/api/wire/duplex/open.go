package duplex

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/bothy-env/bothy/internal/api/wire/heartbeat"
)

// Refusal is a handshake that was not made, with the status and the reason for the other side.
type Refusal struct {
	Status int
	Reason string
}

func (r *Refusal) Error() string { return r.Reason }

// IsUpgrade reports whether a request asks for a WebSocket.
func IsUpgrade(r *http.Request) bool {
	return hasToken(r.Header, "Connection", "upgrade") && hasToken(r.Header, "Upgrade", "websocket")
}

// Offers reports whether a request offers a subprotocol.
func Offers(r *http.Request, protocol string) bool {
	return hasToken(r.Header, "Sec-WebSocket-Protocol", protocol)
}

func hasToken(h http.Header, name, want string) bool {
	for _, line := range h.Values(name) {
		for token := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(token), want) {
				return true
			}
		}
	}
	return false
}

// Accept takes a request's connection over, of one subprotocol and without compression. An error is a *Refusal when
// nothing was answered yet, which is the caller's. Origins are the caller's to check.
func Accept(w http.ResponseWriter, r *http.Request, protocol string, timing heartbeat.Timing) (*Conn, error) {
	timing = timing.Or()
	h := &handshake{w: w, header: http.Header{}, timing: timing}
	ws, err := websocket.Accept(h, r, &websocket.AcceptOptions{
		Subprotocols: []string{protocol}, InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled,
		OnPingReceived: func(ctx context.Context, data []byte) bool { return h.pipe.ping(ctx, data) },
	})
	if err != nil {
		if h.pipe != nil {
			_ = h.pipe.Close() // Nobody is there to hear of it.
		}
		if h.refused != 0 {
			return nil, &Refusal{h.refused, strings.TrimSpace(h.reason.String())}
		}
		return nil, err
	}
	return newConn(ws, h.pipe, timing), nil
}

// handshake is the answer to a request for a WebSocket: a refusal is kept for the caller, and the connection gets its pipe.
type handshake struct {
	w       http.ResponseWriter
	header  http.Header
	timing  heartbeat.Timing
	refused int
	reason  strings.Builder
	pipe    *pipe
}

func (h *handshake) Header() http.Header { return h.header }

func (h *handshake) WriteHeader(status int) {
	if status != http.StatusSwitchingProtocols {
		h.refused = status
		return
	}
	maps.Copy(h.w.Header(), h.header)
	h.w.WriteHeader(status)
}

func (h *handshake) Write(p []byte) (int, error) { return h.reason.Write(p) }

// Hijack takes the connection over. What is written goes through the pipe.
func (h *handshake) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.pipe = newPipe(conn, conn, h.timing)
	// Small: the pipe collects, and what is longer than this goes straight to it.
	return piped{conn, h.pipe}, bufio.NewReadWriter(rw.Reader, bufio.NewWriterSize(h.pipe, 512)), nil
}

// piped is a connection whose bytes go through its pipe.
type piped struct {
	net.Conn
	pipe *pipe
}

func (c piped) Read(b []byte) (int, error)  { return c.pipe.Read(b) }
func (c piped) Write(b []byte) (int, error) { return c.pipe.Write(b) }
func (c piped) Close() error                { return c.pipe.Close() }

// Dialing says how a WebSocket is opened.
type Dialing struct {
	// Transport makes the request: its proxy, its certificates and its way of dialling are the WebSocket's.
	Transport http.RoundTripper
	Header    http.Header
	Protocol  string
	// Handshake bounds the time until the WebSocket stands; MaxAnswer, in bytes, what is read of another answer.
	Handshake time.Duration
	MaxAnswer int64
	Timing    heartbeat.Timing
}

// errHandshake is the cause of a handshake that took too long.
var errHandshake = fmt.Errorf("handshake: %w", context.DeadlineExceeded)

// Dial opens a WebSocket. When the other side answers a plain HTTP response, that is given, whole and closed, with a nil Conn.
func Dial(ctx context.Context, url string, d Dialing) (*Conn, *http.Response, error) {
	d.Timing = d.Timing.Or()
	up := &upgrade{next: d.Transport, timing: d.Timing, most: d.MaxAnswer}
	shaking, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(d.Handshake, func() { cancel(errHandshake) })
	defer late.Stop()
	ws, _, err := websocket.Dial(shaking, url, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: up}, HTTPHeader: d.Header, Subprotocols: []string{d.Protocol},
		CompressionMode: websocket.CompressionDisabled,
		OnPingReceived:  func(ctx context.Context, data []byte) bool { return up.pipe.ping(ctx, data) },
	})
	switch {
	case err == nil:
		return newConn(ws, up.pipe, d.Timing), nil, nil
	case up.refused != nil:
		return nil, up.refused, nil
	case up.failed != nil:
		err = up.failed // Without the words of those between.
	case up.pipe != nil:
		_ = up.pipe.Close() // It is no WebSocket.
	}
	if ctx.Err() == nil && shaking.Err() != nil {
		err = context.Cause(shaking)
	}
	return nil, nil, err
}

// upgrade makes the one request of a handshake, follows no redirect, and keeps what was answered instead.
type upgrade struct {
	next    http.RoundTripper
	timing  heartbeat.Timing
	most    int64
	pipe    *pipe
	refused *http.Response
	failed  error
}

var errRefused = errors.New("another answer than a WebSocket")

func (u *upgrade) RoundTrip(r *http.Request) (*http.Response, error) {
	var conn net.Conn
	traced := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { conn = i.Conn }})
	resp, err := u.next.RoundTrip(r.WithContext(traced))
	if err != nil {
		u.failed = err
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, u.most))
		if err != nil {
			u.failed = err
			return nil, err
		}
		resp.Body, u.refused = io.NopCloser(bytes.NewReader(body)), resp
		return nil, errRefused
	}
	rw, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || conn == nil {
		_ = resp.Body.Close() // It is of no use.
		return nil, errors.New("the transport does not give its connection away")
	}
	u.pipe = newPipe(rw, conn, u.timing)
	resp.Body = u.pipe
	return resp, nil
}
