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

// Expect is the version of a row that a writer has seen. 0 means any.
type Expect struct {
	Revision, Generation int64
}

// Writes are recorded together with a change.
type Writes struct {
	Events  []fleet.Event
	Entries []ledger.Entry
	// Decide, when not nil, is called with the locked limits and usage of the row's scopes, without the change; an error refuses the
	// change. Use it for changes that raise HeldMicros or HeldFor.
	Decide func([]fleet.ScopeUsage) error
	// Secrets, when not nil, replaces the sealed secrets that await delivery; an empty one removes them.
	Secrets []byte
	// Receipt, when not nil, signs the next receipt of the chain, whose Seq and PrevHash are set already.
	Receipt func(next fleet.Receipt) (fleet.Receipt, error)
	// EstimateOff, when not nil, records the error of the first estimate that a waiting request was given.
	EstimateOff *time.Duration
}

func (w Writes) empty() bool {
	return len(w.Events)+len(w.Entries) == 0 && w.Secrets == nil && w.Receipt == nil && w.EstimateOff == nil
}

// Change is the only way to write an existing row: in one transaction it reads the row, checks expect, calls change, and writes row,
// events and entries. It sets Revision itself. When change alters nothing, nothing is written.
//
// Errors, with nothing written: ErrMoved and ErrFenced when the row is not the expected one, CodeNotFound, CodeConflict for an illegal
// state transition or a taken name, and the error of change, unchanged.
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

// changing is a change in progress.
type changing struct {
	id     string
	expect Expect
	change func(*fleet.Environment) (Writes, error)
	// The result; the alteration is set only if there is something to write.
	alteration
	idle bool
	env  fleet.Environment
}

// changeOne makes a change in a transaction of its own.
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

// consider calls the change with the current row. The change is idle when it alters nothing.
func (c *changing) consider(before fleet.Environment) error {
	old, err := record.ValuesOf(&before)
	if err != nil {
		return err
	}
	// env shares maps and slices with before, of which only plain fields are read from here on.
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

// expected reads a row for writing and checks that it is the version that the writer has seen.
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

// rowsToChange reads rows for writing and locks them in the order of their ids. It leaves out rows that another transaction has locked
// and rows that do not exist.
func rowsToChange(ctx context.Context, tx *txn.Tx, ids map[string]bool) (map[string]fleet.Environment, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	wanted := slices.Sorted(maps.Keys(ids))
	for len(wanted)&(len(wanted)-1) != 0 {
		wanted = append(wanted, wanted[0]) // to a power of two, so that there are few statements to prepare
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

// check reports how a row differs from the version that a writer has seen.
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
