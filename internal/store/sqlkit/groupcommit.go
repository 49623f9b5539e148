package sqlkit

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// mostTogether bounds how many writes share one transaction.
const mostTogether = 32

// ErrAlone means that a write needs a transaction of its own.
var ErrAlone = errors.New("needs its own transaction")

// GroupCommit lets concurrent writes share one transaction, and so one commit: they wait for the disk once, and write the records that
// all transactions share once. A write that arrives while none is running does not wait for others.
//
// The result of each is the same as if it were done alone: a write that fails for a reason of its own leaves the others unaffected, and
// when anything else fails, all are done again one by one.
type GroupCommit[W any] struct {
	// Run makes writes in one transaction. ErrAlone in its result: that write was not done, and is to be done alone.
	Run func(ctx context.Context, all []W) []error

	mu      sync.Mutex
	waiting []*ticket[W]
	busy    bool
}

// ticket is a write in the queue.
type ticket[W any] struct {
	write W
	// turn tells the waiter that it leads the queue (true), or that err is its result. It receives one value, sent under the queue's
	// lock.
	turn chan bool
	err  error
}

// Do makes a write together with those that wait when its turn comes, or by alone.
func (g *GroupCommit[W]) Do(ctx context.Context, write W, alone func() error) error {
	t := &ticket[W]{write: write, turn: make(chan bool, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, t)
	leads := !g.busy
	g.busy = true
	g.mu.Unlock()
	if leads || g.await(ctx, t) {
		g.lead(ctx, alone)
	}
	if errors.Is(t.err, ErrAlone) {
		return alone()
	}
	return t.err
}

// lead makes the writes that wait, the leader's first. Then the next one leads.
func (g *GroupCommit[W]) lead(ctx context.Context, alone func() error) {
	g.mu.Lock()
	n := min(len(g.waiting), mostTogether)
	all := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	g.mu.Unlock()
	defer g.pass(all)
	if n == 1 {
		all[0].err = alone()
		return
	}
	writes := make([]W, n)
	for i, t := range all {
		writes[i], t.err = t.write, ErrAlone
	}
	// A shared transaction does not end with its leader's context.
	for i, err := range g.Run(context.WithoutCancel(ctx), writes) {
		all[i].err = err
	}
}

// pass wakes the writers whose writes are done, all but the first, and lets the next one lead.
func (g *GroupCommit[W]) pass(done []*ticket[W]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, t := range done[1:] {
		t.turn <- false
	}
	if g.busy = len(g.waiting) > 0; g.busy {
		g.waiting[0].turn <- true
	}
}

// await waits for a ticket's turn and reports whether it is to lead. A ticket that is still queued when ctx ends leaves the queue.
func (g *GroupCommit[W]) await(ctx context.Context, t *ticket[W]) (leads bool) {
	select {
	case leads = <-t.turn:
		return leads
	case <-ctx.Done():
	}
	g.mu.Lock()
	if i := slices.Index(g.waiting, t); i >= 0 && len(t.turn) == 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
		g.mu.Unlock()
		t.err = ctx.Err()
		return false
	}
	g.mu.Unlock()
	return <-t.turn // it leads, or its write is running
}

// Queued returns how many writes wait for the running one.
func (g *GroupCommit[W]) Queued() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}
