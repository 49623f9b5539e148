package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// KeptStates is how many Terraform states are kept per environment.
const KeptStates = 10

// SaveState stores a sealed Terraform state and drops the oldest beyond KeptStates. Saving the newest serial again replaces it.
// ErrFenced: the work was taken over since generation. CodeConflict: a newer serial is stored already.
func (a *Artifacts) SaveState(ctx context.Context, id string, generation, serial int64, sealed []byte) error {
	if len(sealed) == 0 || generation <= 0 {
		return fleet.Errorf(fleet.CodeInternal, "save state of environment %s: need a state and a generation", id)
	}
	return a.db.InTx(ctx, "save state", func(tx *txn.Tx) error {
		if _, err := expected(ctx, tx, id, Expect{Generation: generation}); err != nil {
			return err
		}
		var newest sql.NullInt64
		const query = "SELECT MAX(serial) FROM terraform_states WHERE environment_id = $1"
		if err := tx.QueryRowContext(ctx, query, id).Scan(&newest); err != nil {
			return err
		}
		if newest.Valid && serial < newest.Int64 {
			return fleet.Errorf(fleet.CodeConflict, "the state of environment %s is at serial %d; %d is older",
				id, newest.Int64, serial)
		}
		const insert = `INSERT INTO terraform_states (environment_id, serial, generation, sealed) VALUES ($1, $2, $3, $4)
			ON CONFLICT (environment_id, serial) DO UPDATE SET generation = excluded.generation, sealed = excluded.sealed`
		if _, err := tx.ExecContext(ctx, insert, id, serial, generation, sealed); err != nil {
			return err
		}
		const trim = `DELETE FROM terraform_states WHERE environment_id = $1 AND serial NOT IN (
			SELECT serial FROM terraform_states WHERE environment_id = $1 ORDER BY serial DESC LIMIT $2)`
		_, err := tx.ExecContext(ctx, trim, id, KeptStates)
		return err
	})
}

// LatestState returns the state with the highest serial, or CodeNotFound when there is none.
func (a *Artifacts) LatestState(ctx context.Context, id string) (sealed []byte, serial int64, err error) {
	const query = "SELECT sealed, serial FROM terraform_states WHERE environment_id = $1 ORDER BY serial DESC LIMIT 1"
	err = a.db.Read.QueryRowContext(ctx, query, id).Scan(&sealed, &serial)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, fleet.Errorf(fleet.CodeNotFound, "environment %s has no stored state", id)
	}
	return sealed, serial, a.db.Fault(ctx, "read state", err)
}

// DropStates removes an environment's states: when it is destroyed, or before it is created again, since Terraform then counts serials
// from the beginning.
func (a *Artifacts) DropStates(ctx context.Context, id string) error {
	return a.db.InTx(ctx, "drop states", func(tx *txn.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM terraform_states WHERE environment_id = $1", id)
		return err
	})
}

// Serials returns the serials of the stored states, newest first.
func (a *Artifacts) Serials(ctx context.Context, id string) ([]int64, error) {
	const query = "SELECT serial FROM terraform_states WHERE environment_id = $1 ORDER BY serial DESC"
	rows, err := a.db.Read.QueryContext(ctx, query, id)
	if err != nil {
		return nil, a.db.Fault(ctx, "read states", err)
	}
	serials, err := sqlkit.Collect(rows, func(row sqlkit.Scanner) (n int64, err error) {
		err = row.Scan(&n)
		return n, err
	})
	return serials, a.db.Fault(ctx, "read states", err)
}
