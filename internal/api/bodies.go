package api

import (
	"context"
	"net/http"
	"sync"

	"github.com/bothy-env/bothy/internal/fleet"
)

const (
	// smallBody is the most bytes of a body that is read without a turn.
	smallBody = 4 << 10
	// bodiesAtOnce is how many larger bodies are held and decoded at the same time, bodiesOfOne how many of one user.
	bodiesAtOnce = 16
	bodiesOfOne  = 6
)

// turns bounds the memory that bodies take: larger ones are read and decoded a few at a time. Who waits holds no body, as
// the kernel keeps it. One user's slow senders wait for each other, not for others.
type turns struct {
	all chan struct{}

	mu sync.Mutex
	of map[string]*turnsOfOne
}

type turnsOfOne struct {
	slots chan struct{}
	users int
}

func newTurns() *turns {
	return &turns{all: make(chan struct{}, bodiesAtOnce), of: map[string]*turnsOfOne{}}
}

// take waits for a turn of user's. done returns it, and may be called more than once.
func (t *turns) take(ctx context.Context, user string) (done func(), err error) {
	t.mu.Lock()
	one := t.of[user]
	if one == nil {
		one = &turnsOfOne{slots: make(chan struct{}, bodiesOfOne)}
		t.of[user] = one
	}
	one.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(t.of, user)
		}
	}
	for i, slots := range []chan struct{}{one.slots, t.all} {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			if i == 1 {
				<-one.slots
			}
			leave()
			return nil, problem(fleet.CodeUnavailable, "try again", "too many large requests at the same time")
		}
	}
	return sync.OnceFunc(func() {
		<-t.all
		<-one.slots
		leave()
	}), nil
}

// read calls next, which reads the request's body, in its turn when the body may be large.
func (s *Server) read(w http.ResponseWriter, r *http.Request, next func()) {
	info := requestOf(r.Context())
	if r.ContentLength >= 0 && r.ContentLength <= smallBody {
		next()
		return
	}
	ctx, cancel := s.bounded(r.Context())
	done, err := s.turns.take(ctx, info.who.User)
	cancel()
	if err != nil {
		refuseUnread(w, r, err)
		return
	}
	info.turn = done
	defer done()
	next()
}
