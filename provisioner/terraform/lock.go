package terraform

import (
	"context"
	"sync"
)

// keyedLock is a mutex per name; waiting ends with the context.
type keyedLock struct {
	mu    sync.Mutex
	holds map[string]*hold
}

type hold struct {
	turn    chan struct{}
	waiting int
}

// lock takes name and returns what gives it back.
func (l *keyedLock) lock(ctx context.Context, name string) (unlock func(), err error) {
	l.mu.Lock()
	if l.holds == nil {
		l.holds = map[string]*hold{}
	}
	h, ok := l.holds[name]
	if !ok {
		h = &hold{turn: make(chan struct{}, 1)}
		l.holds[name] = h
	}
	h.waiting++
	l.mu.Unlock()

	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if h.waiting--; h.waiting == 0 {
			delete(l.holds, name)
		}
	}
	select {
	case h.turn <- struct{}{}:
		return func() { <-h.turn; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
