package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
)

// Expect is what a writer believes of a row. 0 means any.
type Expect struct {
	Revision, Generation int64
}

// Writes goes into the records together with a change.
type Writes struct {
	Events  []fleet.Event
	Entries []ledger.Entry
}

func (w Writes) empty() bool { return len(w.Events)+len(w.Entries) == 0 }

// Change is the one door for writing a row: in one transaction it reads the
// row, checks expect, lets change alter it, and writes row, events and entries.
// It sets Revision itself. When change leaves all as it was, nothing is written.
//
// Errors, after which nothing is written: ErrMoved and ErrFenced when the row is
// not the expected one, CodeNotFound, CodeConflict for an illegal move of the
// state or a taken name, and whatever change gave, as it gave it.
//
// change runs inside the transaction: it must be quick and must not call the store.
func (s *Store) Change(
	ctx context.Context, id string, expect Expect, change func(*fleet.Environment) (Writes, error),
) (fleet.Environment, error) {
	var env fleet.Environment
	err := s.inTx(ctx, "change environment", func(tx *sql.Tx) error {
		before, err := expected(ctx, tx, id, expect)
		if err != nil {
			return err
		}
		old, err := valuesOf(&before)
		if err != nil {
			return err
		}
		// Maps and slices are shared with before, of which only plain fields are looked at from here on.
		env = before
		writes, err := change(&env)
		if err != nil {
			return passed{err}
		}
		env.Revision = before.Revision
		values, err := valuesOf(&env)
		if err != nil {
			return err
		}
		if sameValues(old, values) && writes.empty() {
			env, err = kept(old)
			return err
		}
		if err := legal(&before, &env); err != nil {
			return err
		}
		env, err = writeRow(ctx, tx, &before, env)
		if err != nil {
			return err
		}
		if err := appendEvents(ctx, tx, id, writes.Events); err != nil {
			return err
		}
		return appendEntries(ctx, tx, id, writes.Entries)
	})
	if err != nil {
		return fleet.Environment{}, err
	}
	return env, nil
}

// expected reads a row for writing and checks that it is the one the writer knows.
func expected(ctx context.Context, tx *sql.Tx, id string, expect Expect) (fleet.Environment, error) {
	env, err := scanEnv(tx.QueryRowContext(ctx, selectEnvs+"WHERE id = $1", id))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return env, notFound(id)
	case err != nil:
		return env, err
	case expect.Generation != 0 && expect.Generation != env.Work.Generation:
		return env, fenced(id, expect.Generation, env.Work.Generation)
	case expect.Revision != 0 && expect.Revision != env.Revision:
		return env, late(ErrMoved, "environment %s has moved on: revision %d was expected, it is at %d",
			id, expect.Revision, env.Revision)
	}
	return env, nil
}

func fenced(id string, expected, at int64) error {
	return late(ErrFenced, "the work on environment %s was taken over: generation %d was expected, it is at %d",
		id, expected, at)
}

// legal checks what a change did to a row.
func legal(before, after *fleet.Environment) error {
	if after.State != before.State && !before.State.CanBecome(after.State) {
		return fleet.Errorf(fleet.CodeConflict, "environment %s is %s and cannot become %s", before.Name, before.State, after.State)
	}
	same := before.ID == after.ID && before.Owner == after.Owner && before.IdempotencyKey == after.IdempotencyKey &&
		before.CreatedAt.Equal(after.CreatedAt)
	if !same || after.Work.Generation < before.Work.Generation {
		return fleet.Errorf(fleet.CodeInternal,
			"change environment %s: id, owner, idempotency key and creation time are fixed, and a generation never goes back", before.ID)
	}
	return nil
}

// writeRow writes the next revision and gives it as it is kept.
func writeRow(ctx context.Context, tx *sql.Tx, before *fleet.Environment, env fleet.Environment) (fleet.Environment, error) {
	env.Revision = before.Revision + 1
	if env.Name != before.Name {
		if err := nameFree(ctx, tx, env.Name); err != nil {
			return env, err
		}
	}
	values, err := valuesOf(&env)
	if err != nil {
		return env, err
	}
	if _, err := tx.ExecContext(ctx, updateEnv, values...); err != nil {
		return env, err
	}
	return kept(values)
}
