package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Admission is a request that was granted: a new row, and what to record of it.
type Admission struct {
	// Env is pending; its Revision is set to 1.
	Env fleet.Environment
	// RequestHash stands for what was asked, so that an idempotency key is not
	// taken for another request.
	RequestHash string
	Event       fleet.Event
}

// Admit writes a new environment. When the owner has used the idempotency key
// before, it gives that environment as it is now, whatever its state, and true.
// CodeConflict: the key was used for another request, or a live environment has the name.
func (s *Store) Admit(ctx context.Context, a Admission) (env fleet.Environment, existed bool, err error) {
	if a.Env.ID == "" || a.Env.Name == "" || a.Env.State != fleet.Pending {
		return fleet.Environment{}, false, fleet.Errorf(fleet.CodeInternal,
			"admit environment: need an id, a name and the state pending, got %q, %q, %q", a.Env.ID, a.Env.Name, a.Env.State)
	}
	a.Env.Revision = 1
	values, err := valuesOf(&a.Env)
	if err != nil {
		return fleet.Environment{}, false, err
	}
	err = s.inTx(ctx, "admit environment", func(tx *sql.Tx) error {
		env, existed, err = s.asked(ctx, tx, a)
		if err != nil || existed {
			return err
		}
		if err := nameFree(ctx, tx, a.Env.Name); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, insertEnv, append(values, a.RequestHash)...); err != nil {
			return err
		}
		if err := appendEvents(ctx, tx, a.Env.ID, []fleet.Event{a.Event}); err != nil {
			return err
		}
		env, err = kept(values)
		return err
	})
	if err != nil {
		return fleet.Environment{}, false, err
	}
	return env, existed, nil
}

// asked gives the environment that the owner got for the same key before.
func (s *Store) asked(ctx context.Context, tx *sql.Tx, a Admission) (fleet.Environment, bool, error) {
	if a.Env.IdempotencyKey == "" {
		return fleet.Environment{}, false, nil
	}
	const query = `SELECT id, request_hash FROM environments
		WHERE owner = $1 AND idempotency_key = $2 AND idempotency_key <> ''`
	var id, hash string
	err := tx.QueryRowContext(ctx, query, a.Env.Owner, a.Env.IdempotencyKey).Scan(&id, &hash)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fleet.Environment{}, false, nil
	case err != nil:
		return fleet.Environment{}, false, err
	case hash != a.RequestHash:
		return fleet.Environment{}, false, fleet.Errorf(fleet.CodeConflict,
			"the idempotency key %q was used before for another request", a.Env.IdempotencyKey).
			WithHint("use a new key for a new request, or repeat the first one unchanged")
	}
	env, err := scanEnv(tx.QueryRowContext(ctx, selectEnvs+"WHERE id = $1", id))
	return env, err == nil, err
}

// nameFree gives CodeConflict when a live environment has the name. The unique
// index is what keeps names apart; this is for the sentence.
func nameFree(ctx context.Context, tx *sql.Tx, name string) error {
	const query = "SELECT COUNT(*) FROM environments WHERE name = $1 AND state <> 'destroyed'"
	var n int
	if err := tx.QueryRowContext(ctx, query, name).Scan(&n); err != nil {
		return err
	}
	if n > 0 {
		return fleet.Errorf(fleet.CodeConflict, "the name %q is taken by a live environment", name).
			WithHint("choose another name, or release that one: bothy down %s", name)
	}
	return nil
}
