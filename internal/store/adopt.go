package store

import (
	"context"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// Adopt inserts a row, in any state, for an environment that exists at the provider and has no row. CodeConflict: its id has a row after
// all, or a live environment has the name.
func (e *Environments) Adopt(ctx context.Context, env fleet.Environment, ev fleet.Event) (fleet.Environment, error) {
	if env.ID == "" || env.Name == "" || !env.State.Valid() {
		return fleet.Environment{}, fleet.Errorf(fleet.CodeInternal,
			"adopt environment: need an id, a name and a state, got %q, %q, %q", env.ID, env.Name, env.State)
	}
	if env.Tenant != "" && env.HeldAt.IsZero() {
		env.HeldAt = env.CreatedAt
	}
	if err := holdable(&env); err != nil {
		return fleet.Environment{}, err
	}
	asked := env
	err := e.db.InTx(ctx, "adopt environment "+env.ID, func(tx *txn.Tx) (err error) {
		var b batch
		if env, err = insertRow(ctx, tx, &b, asked, ""); err != nil {
			return err
		}
		b.note(env.ID, []fleet.Event{ev}, nil)
		return b.flush(ctx, tx)
	})
	if err != nil {
		return fleet.Environment{}, err
	}
	return env, nil
}
