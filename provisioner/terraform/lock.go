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

// try takes name when nobody has it or waits for it.
func (l *keyedLock) try(name string) (unlock func(), ok bool) {
	l.mu.Lock()
	_, busy := l.holds[name]
	if busy {
		l.mu.Unlock()
		return nil, false
	}
	if l.holds == nil {
		l.holds = map[string]*hold{}
	}
	h := &hold{turn: make(chan struct{}, 1), waiting: 1}
	h.turn <- struct{}{}
	l.holds[name] = h
	l.mu.Unlock()
	return func() {
		<-h.turn
		l.leave(name, h)
	}, true
}

func (l *keyedLock) leave(name string, h *hold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.waiting--; h.waiting == 0 {
		delete(l.holds, name)
	}
}

// lock takes name and returns the function that unlocks it.
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

	select {
	case h.turn <- struct{}{}:
		return func() { <-h.turn; l.leave(name, h) }, nil
	case <-ctx.Done():
		l.leave(name, h)
		return nil, ctx.Err()
	}
}
