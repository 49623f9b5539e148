package sqlkit

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// mostTogether bounds how many writes share one transaction.
const mostTogether = 32

// ErrAlone says that a write is to have a transaction of its own.
var ErrAlone = errors.New("to be done alone")

// GroupCommit lets writes that are asked for at the same time share one transaction, and so one commit: the
// disk is waited for once, and the records that all transactions share are written once. A write that
// comes while none is under way does not wait for company.
//
// What comes of each is the same as if it were done alone: a write that fails for a reason of its own leaves the
// others as they are, and when anything else fails, all are done again one by one.
type GroupCommit[W any] struct {
	// Run does some of them in one transaction. ErrAlone in its answer: that one was not done, and is to be done alone.
	Run func(ctx context.Context, all []W) []error

	mu      sync.Mutex
	waiting []*ticket[W]
	busy    bool
}

// ticket is a write in the queue.
type ticket[W any] struct {
	write W
	// turn says what there is for whoever waits: to lead those that are waiting, or err. It is sent to once, under the queue's lock.
	turn chan bool
	err  error
}

// Do does a write with those that wait when its turn comes, or by alone.
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

// lead does those that wait; who leads is the first. Then somebody else leads.
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
	// What is begun for several does not end with the one who leads.
	for i, err := range g.Run(context.WithoutCancel(ctx), writes) {
		all[i].err = err
	}
}

// pass tells those that were done, all but the first, and lets the next lead.
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

// await waits for a ticket's turn and reports whether it is to lead. One that nobody has taken up goes when ctx ends.
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
	return <-t.turn // it leads, or is under way
}

// Queued is how many writes wait for the one that is under way.
func (g *GroupCommit[W]) Queued() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}
