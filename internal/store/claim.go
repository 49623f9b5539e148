package store

import (
	"context"
	"maps"
	"slices"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/dialect"
	"github.com/bothy-env/bothy/internal/store/record"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// findWarm skips environments on hosts that are down, which could not be delivered. It selects whole rows, so that it locks them: on
// PostgreSQL it skips rows that others are about to claim, and checks a row again after a wait.
var findWarm = record.SelectEnvs + `WHERE state = 'warm' AND doubted = 0 AND match_key = $1 AND work_action = '' AND pool <> ''
		AND NOT EXISTS (SELECT 1 FROM hosts WHERE hosts.name = environments.host AND hosts.down <> '')
	ORDER BY pool, ready_at, id LIMIT $2`

// claim gives requests the warm environments that nobody else claims, as far as there are any. It writes the alterations of other rows in
// the same statement.
func claim(ctx context.Context, tx *txn.Tx, b *batch, all []*admitting, others []*alteration) error {
	asking := map[string][]*admitting{}
	for _, one := range all {
		if one.a.Take != nil {
			asking[one.a.Env.MatchKey] = append(asking[one.a.Env.MatchKey], one)
		}
	}
	var claims []*alteration
	var claimed []*admitting
	for _, key := range slices.Sorted(maps.Keys(asking)) {
		rows, err := tx.QueryContext(ctx, findWarm+tx.DB.SkipLocked, key, len(asking[key]))
		if err != nil {
			return err
		}
		warm, err := sqlkit.Collect(rows, record.EnvScanner())
		if err != nil {
			return err
		}
		for i, env := range warm {
			one := asking[key][i]
			a, err := one.a.take(env)
			if err != nil {
				return err
			}
			b.note(env.ID, []fleet.Event{one.a.Event}, nil)
			claims, claimed = append(claims, a), append(claimed, one)
		}
	}
	if err := alter(ctx, tx, b, slices.Concat(claims, others)...); err != nil {
		return err
	}
	for i, one := range claimed {
		one.got = Admitted{Env: claims[i].after, Claimed: true}
		if one.a.Env.IdempotencyKey == "" {
			continue
		}
		const write = "UPDATE environments SET request_hash = $1 WHERE id = $2"
		unnamed := tx.Unnamed()
		if _, err := tx.ExecContext(ctx, write, one.a.RequestHash, one.got.Env.ID); err != nil {
			return err
		}
		tx.Name(unnamed, one.got.Env.ID)
	}
	return nil
}

// take turns a warm environment into the request's.
func (a *Admission) take(warm fleet.Environment) (*alteration, error) {
	env := warm
	writes, err := a.Take(&env)
	if err != nil {
		return nil, dialect.Passed{Err: err}
	}
	if env.State != fleet.Leased {
		return nil, fleet.Errorf(fleet.CodeInternal, "claim environment %s: it was left %s", warm.ID, env.State)
	}
	env.HeldMicros, env.HeldFor, env.HeldAt = a.HeldMicros, a.HeldFor, a.Env.HeldAt
	return &alteration{before: warm, after: env, writes: writes}, holderKept(&warm, &env)
}

// Replace withdraws a faulty claimed environment from its request and gives the request another one. In one transaction it calls strip on
// the faulty row and then does what Admit does without Decide: it claims another warm environment or inserts a pending row.
//
// strip must leave the row Destroying, or Leased and doubted if it turned out to be in use by someone unknown; without tenant, team,
// owner and key; and named by its id. The row then counts for no scope. The replacement counts in the periods in which the request was
// admitted, and the cost of the faulty environment counts in none. Without a RequestHash the faulty row's is used.
//
// Errors: ErrFenced when the work on the faulty row was taken over since generation, CodeConflict when it is no longer being handed over,
// CodeNotFound, and the errors of strip and Take.
func (e *Environments) Replace(
	ctx context.Context, badID string, generation int64, strip func(*fleet.Environment) (Writes, error), a Admission,
) (Admitted, error) {
	a, err := a.checked()
	if err != nil {
		return Admitted{}, err
	}
	var got Admitted
	err = e.db.InTx(ctx, "replace environment", func(tx *txn.Tx) error {
		a, b := a, &batch{}
		bad, err := expected(ctx, tx, badID, Expect{Generation: generation})
		if err != nil {
			return err
		}
		a.Env.HeldAt = bad.HeldAt
		if a.RequestHash == "" {
			const query = "SELECT request_hash FROM environments WHERE id = $1"
			if err := tx.QueryRowContext(ctx, query, badID).Scan(&a.RequestHash); err != nil {
				return err
			}
		}
		if err := takeAway(ctx, tx, b, bad, strip); err != nil {
			return err
		}
		if got, err = grant(ctx, tx, b, a); err != nil {
			return err
		}
		return b.flush(ctx, tx)
	})
	if err != nil {
		return Admitted{}, err
	}
	return got, nil
}

// takeAway withdraws a claimed environment from its holder permanently.
func takeAway(
	ctx context.Context, tx *txn.Tx, b *batch, bad fleet.Environment, strip func(*fleet.Environment) (Writes, error),
) error {
	if bad.State != fleet.Leased || bad.Work.Action != fleet.Personalise {
		return fleet.Errorf(fleet.CodeConflict, "environment %s is %s and not being handed over", bad.Name, bad.State)
	}
	env := bad
	writes, err := strip(&env)
	if err != nil {
		return dialect.Passed{Err: err}
	}
	withdrawn := env.State == fleet.Leased && env.Doubted && env.Work.Action == fleet.None // its user is unknown
	if env.State != fleet.Destroying && !withdrawn || env.Name != bad.ID || env.Tenant+env.Team+env.Owner+env.IdempotencyKey != "" {
		return fleet.Errorf(fleet.CodeInternal, "replace environment %s: it must end destroying or doubted, without a holder, and named by its id", bad.ID)
	}
	writes.Secrets = []byte{}
	return alter(ctx, tx, b, &alteration{before: bad, after: env, writes: writes})
}
