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
		return problem(fleet.CodeQuota, "end some that are not needed any more", "%s has %d streams open, and that is the most", user, s.most)
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
		if err := s.streams.enter(user); err != nil {
			fail(w, r, err)
			return
		}
		defer s.streams.leave(user)
		ctx, cancel := context.WithCancelCause(r.Context())
		defer cancel(nil)
		defer context.AfterFunc(s.stopping, func() { cancel(context.Cause(s.stopping)) })()
		liftDeadlines(w)
		if err := handle(ctx, w, r.WithContext(ctx)); err != nil {
			fail(w, r, s.ended(ctx, err))
		}
	}}
}

// ended says it when the daemon's stop is what ended a stream.
func (s *Server) ended(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errStopping) {
		return problem(fleet.CodeUnavailable, "try again when it is back", "%s", errStopping)
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

// lines writes one JSON value a line, each sent at once.
type lines struct {
	w     http.ResponseWriter
	begun bool
}

// begin sends the head, so that the client knows that the stream stands before there is a line.
func (l *lines) begin() error {
	if l.begun {
		return nil
	}
	l.begun = true
	l.w.Header().Set("Content-Type", ndjson)
	l.w.WriteHeader(http.StatusOK)
	return http.NewResponseController(l.w).Flush()
}

func (l *lines) write(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if !l.begun {
		l.begun = true
		l.w.Header().Set("Content-Type", ndjson)
	}
	if _, err := l.w.Write(append(data, '\n')); err != nil {
		return errGone
	}
	if http.NewResponseController(l.w).Flush() != nil {
		return errGone
	}
	return nil
}

// errGone says that the client is not there any more; nobody is left to tell.
var errGone = errors.New("client is gone")

// end ends the stream; an error becomes its last line, or the answer when there is no line yet.
func (l *lines) end(ctx context.Context, s *Server, err error) error {
	switch {
	case err == nil:
		return l.begin()
	case errors.Is(err, errGone):
		return nil
	case !l.begun:
		return err
	}
	_ = l.write(wire.StreamEnd{Problem: problemOf(ctx, s.ended(ctx, err))}) // Who is gone misses it.
	return nil
}
