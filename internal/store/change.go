package store

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store/dialect"
	"github.com/bothy-env/bothy/internal/store/record"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// Expect is what a writer believes of a row. 0 means any.
type Expect struct {
	Revision, Generation int64
}

// Writes goes into the records together with a change.
type Writes struct {
	Events  []fleet.Event
	Entries []ledger.Entry
	// Decide, when not nil, is asked with the locked limits and usage of the row's scopes, as they are without the
	// change; an error refuses it. It is for what raises HeldMicros or HeldFor.
	Decide func([]fleet.ScopeUsage) error
	// Secrets, when not nil, replaces what is kept sealed for delivery; an empty one drops it.
	Secrets []byte
	// Receipt, when not nil, is asked for the receipt that follows prev in the chain (its Seq and PrevHash are set already).
	Receipt func(next fleet.Receipt) (fleet.Receipt, error)
	// EstimateOff, when not nil, records how far off the first estimate of a request that waited was.
	EstimateOff *time.Duration
}

func (w Writes) empty() bool {
	return len(w.Events)+len(w.Entries) == 0 && w.Secrets == nil && w.Receipt == nil && w.EstimateOff == nil
}

// Change is the one door for writing a row: in one transaction it reads the
// row, checks expect, lets change alter it, and writes row, events and entries.
// It sets Revision itself. When change leaves all as it was, nothing is written.
//
// Errors, after which nothing is written: ErrMoved and ErrFenced when the row is
// not the expected one, CodeNotFound, CodeConflict for an illegal move of the
// state or a taken name, and whatever change gave, as it gave it.
//
// change runs inside the transaction: it must be quick and must not call the store.
func (e *Environments) Change(
	ctx context.Context, id string, expect Expect, change func(*fleet.Environment) (Writes, error),
) (fleet.Environment, error) {
	c := &changing{id: id, expect: expect, change: change}
	err := e.together(ctx, &writing{change: c}, func() error {
		return e.db.InTx(ctx, doingChange, func(tx *txn.Tx) error { return changeOne(ctx, tx, c) })
	})
	if err != nil {
		return fleet.Environment{}, err
	}
	return c.env, nil
}

const doingChange = "change environment"

// changing is a change under way.
type changing struct {
	id     string
	expect Expect
	change func(*fleet.Environment) (Writes, error)
	// What came of it; all but env only when it is to be written.
	alteration
	idle bool
	env  fleet.Environment
}

// changeOne is a change that has its transaction for itself.
func changeOne(ctx context.Context, tx *txn.Tx, c *changing) error {
	before, err := expected(ctx, tx, c.id, c.expect)
	if err != nil {
		return err
	}
	if err := c.consider(before); err != nil || c.idle {
		return err
	}
	if err := decide(ctx, tx, nil, &before, c.writes.Decide); err != nil {
		return err
	}
	var b batch
	if err := alter(ctx, tx, &b, &c.alteration); err != nil {
		return err
	}
	c.env = c.after
	return b.flush(ctx, tx)
}

// consider lets the change do its part with the row as it is. It is idle when that changes nothing.
func (c *changing) consider(before fleet.Environment) error {
	old, err := record.ValuesOf(&before)
	if err != nil {
		return err
	}
	// Maps and slices are shared with before, of which only plain fields are looked at from here on.
	env := before
	writes, err := c.change(&env)
	if err != nil {
		return dialect.Passed{Err: err}
	}
	env.Revision = before.Revision
	values, err := record.ValuesOf(&env)
	if err != nil {
		return err
	}
	c.alteration = alteration{before: before, after: env, writes: writes}
	if c.idle = record.Same(old, values) && writes.empty(); c.idle {
		c.env, err = record.Kept(old)
		return err
	}
	return holderKept(&before, &env)
}

// expected reads a row for writing and checks that it is the one the writer knows.
func expected(ctx context.Context, tx *txn.Tx, id string, expect Expect) (fleet.Environment, error) {
	env, err := record.ScanEnv(tx.QueryRowContext(ctx, record.SelectEnvs+"WHERE id = $1"+tx.DB.ForUpdate, id))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		err = record.NotFound(id)
	case err == nil:
		err = expect.check(&env)
	}
	return env, err
}

// rowsToChange reads rows for writing, locked in the order of their ids. Those that another transaction has locked, and those
// that are not there, are left out.
func rowsToChange(ctx context.Context, tx *txn.Tx, ids map[string]bool) (map[string]fleet.Environment, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	wanted := slices.Sorted(maps.Keys(ids))
	for len(wanted)&(len(wanted)-1) != 0 {
		wanted = append(wanted, wanted[0]) // to a power of two: there are few texts to prepare
	}
	rows, err := tx.QueryContext(ctx, record.SelectEnvs+"WHERE id IN ("+sqlkit.Placeholders(1, len(wanted))+") ORDER BY id"+tx.DB.SkipLocked, sqlkit.List(wanted)...)
	if err != nil {
		return nil, err
	}
	envs, err := sqlkit.Collect(rows, record.EnvScanner())
	found := map[string]fleet.Environment{}
	for _, env := range envs {
		found[env.ID] = env
	}
	return found, err
}

// check says how a row is not the one that a writer knows.
func (x Expect) check(env *fleet.Environment) error {
	switch {
	case x.Generation != 0 && x.Generation != env.Work.Generation:
		return fenced(env.ID, x.Generation, env.Work.Generation)
	case x.Revision != 0 && x.Revision != env.Revision:
		return late(ErrMoved, "environment %s has moved on: revision %d was expected, it is at %d",
			env.ID, x.Revision, env.Revision)
	}
	return nil
}

func fenced(id string, expected, at int64) error {
	return late(ErrFenced, "the work on environment %s was taken over: generation %d was expected, it is at %d",
		id, expected, at)
}
