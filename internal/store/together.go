package store

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/dialect"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// writing is a write under way that may share its transaction: a request to be decided, or a change of a row.
type writing struct {
	admit  *admitting
	change *changing
}

// doing names the write in errors.
func (w *writing) doing() string {
	if w.admit != nil {
		return doingAdmit
	}
	return doingChange
}

// together shares a transaction with writes that arrive at the same time, or calls alone.
func (e *Environments) together(ctx context.Context, write *writing, alone func() error) error {
	if _, ok := txn.Leading(ctx); ok {
		return alone() // its own transaction fences it
	}
	return e.writes.Do(ctx, write, alone)
}

// writeTogether makes writes in one transaction and returns the result of each. If one fails for a reason not its own, all are to be done
// alone.
func (e *Environments) writeTogether(ctx context.Context, all []*writing) []error {
	if e.db.Shared() {
		limited, cancel := context.WithTimeout(ctx, txn.Limit)
		defer cancel()
		ctx = limited
	}
	errs, doing := make([]error, len(all)), doingChange
	if slices.ContainsFunc(all, func(w *writing) bool { return w.admit != nil }) {
		doing = doingAdmit
	}
	then, err := e.db.Try(ctx, doing, func(tx *txn.Tx) error {
		rows, known, err := lockFor(ctx, tx, all)
		if err != nil {
			return err
		}
		var live []*writing
		for i, w := range all {
			errs[i] = guarded(func() error {
				if w.admit != nil {
					return promise(ctx, tx, known, w.admit)
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
		if err := guarded(func() error { return writeAll(ctx, tx, &b, live) }); err != nil {
			return err
		}
		return b.flush(ctx, tx)
	})
	switch {
	case err == nil, errors.Is(err, errNothing):
	case then == txn.MaybeKept:
		return slices.Repeat([]error{err}, len(all))
	default:
		return slices.Repeat([]error{sqlkit.ErrAlone}, len(all))
	}
	for i, err := range errs {
		if !errors.Is(err, sqlkit.ErrAlone) {
			errs[i] = e.db.Fault(ctx, all[i].doing(), err)
		}
	}
	return errs
}

// lockFor reads and locks what the writes need: the rows to change, then what limits look at (known). It leaves out rows that another
// transaction has locked, so that they delay no other write, and rows that one of the requests may claim.
func lockFor(ctx context.Context, tx *txn.Tx, all []*writing) (rows map[string]fleet.Environment, known *standing, err error) {
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
	if rows, err = rowsToChange(ctx, tx, ids); err != nil {
		return nil, nil, err
	}
	if claims {
		maps.DeleteFunc(rows, func(_ string, env fleet.Environment) bool { return env.State == fleet.Warm })
	}
	known, err = standingOf(ctx, tx, scopes)
	return rows, known, err
}

// promise decides a request that shares its transaction: later requests count what this one was given.
func promise(ctx context.Context, tx *txn.Tx, known *standing, one *admitting) error {
	// Of two with one key neither is written yet; writing both fails, and each is then done alone.
	if err := judge(ctx, tx, known, one); err != nil || one.got.Existed {
		return err
	}
	known.promised.use(&one.a.Env, 1)
	known.promised.hold(&one.a.Env, 1)
	return nil
}

// among considers a change with its row from the locked ones, and removes the row if it is to be written.
func (c *changing) among(rows map[string]fleet.Environment) error {
	before, ok := rows[c.id]
	if !ok {
		return sqlkit.ErrAlone // an earlier write changes the row and is not written yet
	}
	if err := c.expect.check(&before); err != nil {
		return err
	}
	if err := c.consider(before); err != nil {
		return err
	}
	if c.writes.Decide != nil {
		return sqlkit.ErrAlone // its decision must count what the others were given
	}
	delete(rows, c.id)
	return nil
}

// writeAll writes what was decided.
func writeAll(ctx context.Context, tx *txn.Tx, b *batch, all []*writing) error {
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
	if err := grantAll(ctx, tx, b, admissions, alterations); err != nil {
		return err
	}
	for _, c := range changes {
		c.env = c.after
	}
	return nil
}

// errNothing ends a transaction without writes.
var errNothing = errors.New("nothing to write")

// ownFault reports whether an error concerns one write, and not the database.
func ownFault(err error) bool {
	if _, ok := errors.AsType[dialect.Passed](err); ok || errors.Is(err, sqlkit.ErrAlone) {
		return true
	}
	_, ok := errors.AsType[*fleet.Error](err)
	return ok
}

// guarded keeps one caller's panic from the others: done alone, the write panics again in its own caller.
func guarded(fn func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = sqlkit.ErrAlone
		}
	}()
	return fn()
}
