package store

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/bothy-env/bothy/internal/fleet"
)

// mostTogether bounds how many writes share one transaction.
const mostTogether = 32

// errAlone says that a write is to have a transaction of its own.
var errAlone = errors.New("to be done alone")

// together lets writes that are asked for at the same time share one transaction, and so one commit: the
// disk is waited for once, and the records that all transactions share are written once. A write that
// comes while none is under way does not wait for company.
//
// What comes of each is the same as if it were done alone: a write that fails for a reason of its own leaves the
// others as they are, and when anything else fails, all are done again one by one.
type together[M any] struct {
	// run does some of them in one transaction. errAlone in its answer: that one was not done, and is to be done alone.
	run func(ctx context.Context, all []M) []error

	mu      sync.Mutex
	waiting []*ticket[M]
	busy    bool
}

// ticket is a write in the queue.
type ticket[M any] struct {
	member M
	// turn says what there is for whoever waits: to lead those that are waiting, or err. It is sent to once, under the queue's lock.
	turn chan bool
	err  error
}

// do does a write with those that wait when its turn comes, or by alone.
func (g *together[M]) do(ctx context.Context, member M, alone func() error) error {
	t := &ticket[M]{member: member, turn: make(chan bool, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, t)
	leads := !g.busy
	g.busy = true
	g.mu.Unlock()
	if leads || g.await(ctx, t) {
		g.lead(ctx, alone)
	}
	if errors.Is(t.err, errAlone) {
		return alone()
	}
	return t.err
}

// lead does those that wait; who leads is the first. Then somebody else leads.
func (g *together[M]) lead(ctx context.Context, alone func() error) {
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
	members := make([]M, n)
	for i, t := range all {
		members[i], t.err = t.member, errAlone
	}
	// What is begun for several does not end with the one who leads.
	for i, err := range g.run(context.WithoutCancel(ctx), members) {
		all[i].err = err
	}
}

// pass tells those that were done, all but the first, and lets the next lead.
func (g *together[M]) pass(done []*ticket[M]) {
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
func (g *together[M]) await(ctx context.Context, t *ticket[M]) (leads bool) {
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

// steps are how writes that share a transaction are done.
type steps[M any] struct {
	// lock reads and locks what all need, in one order.
	lock func(*txn) error
	// decide says of one whether it is done. It writes nothing; an error of the caller, or with a code, is for that one alone.
	decide func(*txn, M) error
	// write does those that are to be done, and notes their records.
	write func(*txn, *batch, []M) error
}

// inOneTx does writes in one transaction and tells what came of each. When one cannot be done, all are to be done alone.
func inOneTx[M any](ctx context.Context, s *Store, doing string, all []M, do steps[M]) []error {
	if s.pg != nil {
		limited, cancel := context.WithTimeout(ctx, txLimit)
		defer cancel()
		ctx = limited
	}
	errs := make([]error, len(all))
	then, err := s.tryTx(ctx, doing, func(tx *txn) error {
		if err := do.lock(tx); err != nil {
			return err
		}
		var live []M
		for i, m := range all {
			errs[i] = guarded(func() error { return do.decide(tx, m) })
			switch {
			case errs[i] == nil:
				live = append(live, m)
			case !ownFault(errs[i]):
				return errs[i]
			}
		}
		if len(live) == 0 {
			return errNothing
		}
		var b batch
		if err := guarded(func() error { return do.write(tx, &b, live) }); err != nil {
			return err
		}
		return b.flush(ctx, tx)
	})
	switch {
	case err == nil, errors.Is(err, errNothing):
	case then == maybeKept:
		return slices.Repeat([]error{err}, len(all))
	default:
		return slices.Repeat([]error{errAlone}, len(all))
	}
	for i, err := range errs {
		if !errors.Is(err, errAlone) {
			errs[i] = s.fault(ctx, doing, err)
		}
	}
	return errs
}

// errNothing ends a transaction in which nothing was done.
var errNothing = errors.New("nothing was done")

// ownFault reports whether an error says something of one write, and nothing of the database.
func ownFault(err error) bool {
	if _, ok := errors.AsType[passed](err); ok || errors.Is(err, errAlone) {
		return true
	}
	_, ok := errors.AsType[*fleet.Error](err)
	return ok
}

// guarded keeps one caller's panic from others: done alone, it panics again where it belongs.
func guarded(fn func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = errAlone
		}
	}()
	return fn()
}
