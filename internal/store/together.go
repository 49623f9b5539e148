package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/bothy-env/bothy/internal/fleet"
)

// mostTogether bounds how many writes share one transaction.
const mostTogether = 32

// errAlone says that a write is to have a transaction of its own.
var errAlone = errors.New("to be done alone")

// writing is a write under way that may share its transaction: a request to be decided, or a change of a row.
type writing struct {
	admit  *admitting
	change *changing
}

// doing names it.
func (w *writing) doing() string {
	if w.admit != nil {
		return doingAdmit
	}
	return doingChange
}

// together lets writes that are asked for at the same time share one transaction, and so one commit: the
// disk is waited for once, and the records that all transactions share are written once. A write that
// comes while none is under way does not wait for company.
//
// What comes of each is the same as if it were done alone: a write that fails for a reason of its own leaves the
// others as they are, and when anything else fails, all are done again one by one.
type together struct {
	// run does some of them in one transaction. errAlone in its answer: that one was not done, and is to be done alone.
	run func(ctx context.Context, all []*writing) []error

	mu      sync.Mutex
	waiting []*ticket
	busy    bool
}

// ticket is a write in the queue.
type ticket struct {
	write *writing
	// turn says what there is for whoever waits: to lead those that are waiting, or err. It is sent to once, under the queue's lock.
	turn chan bool
	err  error
}

// do does a write with those that wait when its turn comes, or by alone.
func (g *together) do(ctx context.Context, write *writing, alone func() error) error {
	if _, ok := leading(ctx); ok {
		return alone() // it is fenced by its own transaction
	}
	t := &ticket{write: write, turn: make(chan bool, 1)}
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
func (g *together) lead(ctx context.Context, alone func() error) {
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
	writes := make([]*writing, n)
	for i, t := range all {
		writes[i], t.err = t.write, errAlone
	}
	// What is begun for several does not end with the one who leads.
	for i, err := range g.run(context.WithoutCancel(ctx), writes) {
		all[i].err = err
	}
}

// pass tells those that were done, all but the first, and lets the next lead.
func (g *together) pass(done []*ticket) {
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
func (g *together) await(ctx context.Context, t *ticket) (leads bool) {
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

// writeTogether does writes in one transaction and tells what came of each. When one cannot be done, all are to be done alone.
func (s *Store) writeTogether(ctx context.Context, all []*writing) []error {
	if s.pg != nil {
		limited, cancel := context.WithTimeout(ctx, txLimit)
		defer cancel()
		ctx = limited
	}
	errs, doing := make([]error, len(all)), doingChange
	if slices.ContainsFunc(all, func(w *writing) bool { return w.admit != nil }) {
		doing = doingAdmit
	}
	then, err := s.tryTx(ctx, doing, func(tx *txn) error {
		rows, err := s.lockFor(ctx, tx, all)
		if err != nil {
			return err
		}
		var live []*writing
		for i, w := range all {
			errs[i] = guarded(func() error {
				if w.admit != nil {
					return s.promise(ctx, tx, w.admit)
				}
				return w.change.among(rows)
			})
			switch {
			case errs[i] == nil:
				live = append(live, w)
			case !ownFault(errs[i]):
				return errs[i]
			}
		}
		if len(live) == 0 {
			return errNothing
		}
		var b batch
		if err := guarded(func() error { return s.writeAll(ctx, tx, &b, live) }); err != nil {
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
			errs[i] = s.fault(ctx, all[i].doing(), err)
		}
	}
	return errs
}

// lockFor reads and locks what writes look at: the rows of the changes, then what limits look at. It leaves out rows that another
// transaction has locked, so that nobody beside them is held up, and those that one of the requests may take.
func (s *Store) lockFor(ctx context.Context, tx *txn, all []*writing) (rows map[string]fleet.Environment, err error) {
	ids := map[string]bool{}
	var scopes []fleet.Scope
	claims := false
	for _, w := range all {
		if w.change != nil {
			ids[w.change.id] = true
			continue
		}
		claims = claims || w.admit.a.Take != nil
		if w.admit.a.Decide != nil {
			scopes = append(scopes, w.admit.a.Env.Scopes()...)
		}
	}
	if rows, err = s.rowsToChange(ctx, tx, ids); err != nil {
		return nil, err
	}
	if claims {
		maps.DeleteFunc(rows, func(_ string, env fleet.Environment) bool { return env.State == fleet.Warm })
	}
	tx.standing, err = standingOf(ctx, tx, scopes)
	return rows, err
}

// promise decides a request that shares its transaction: those after it count with what it was given.
func (s *Store) promise(ctx context.Context, tx *txn, one *admitting) error {
	// Of two under one key neither is written yet; writing both fails, and each is then asked alone.
	if err := s.judge(ctx, tx, one); err != nil || one.got.Existed {
		return err
	}
	tx.standing.promised.use(&one.a.Env, 1)
	tx.standing.promised.hold(&one.a.Env, 1)
	return nil
}

// among considers a change with its row out of those that were locked, and takes the row out when it is to be written.
func (c *changing) among(rows map[string]fleet.Environment) error {
	before, ok := rows[c.id]
	if !ok {
		return errAlone // others are before it, and what they make of the row is not written yet
	}
	if err := c.expect.check(&before); err != nil {
		return err
	}
	if err := c.consider(before); err != nil {
		return err
	}
	if c.writes.Decide != nil {
		return errAlone // it is to be decided with what those beside it were given
	}
	delete(rows, c.id)
	return nil
}

// writeAll writes what was decided.
func (s *Store) writeAll(ctx context.Context, tx *txn, b *batch, all []*writing) error {
	var admissions []*admitting
	var changes []*changing
	var alterations []*alteration
	for _, w := range all {
		switch {
		case w.admit != nil:
			admissions = append(admissions, w.admit)
		case !w.change.idle:
			changes, alterations = append(changes, w.change), append(alterations, &w.change.alteration)
		}
	}
	if err := s.grantAll(ctx, tx, b, admissions, alterations); err != nil {
		return err
	}
	for _, c := range changes {
		c.env = c.after
	}
	return nil
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
