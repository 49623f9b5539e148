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

// findWarm passes over what stands on a host that is down: whoever got it would wait in vain. It reads whole rows, so that it locks what it gives: on PostgreSQL it passes over
// rows that others are about to take, and looks again at those that were taken while it waited for nothing.
var findWarm = record.SelectEnvs + `WHERE state = 'warm' AND doubted = 0 AND match_key = $1 AND work_action = '' AND pool <> ''
		AND NOT EXISTS (SELECT 1 FROM hosts WHERE hosts.name = environments.host AND hosts.down <> '')
	ORDER BY pool, ready_at, id LIMIT $2`

// claim gives requests the warm environments that nobody else takes, to as many as there are some for. It writes the
// alterations of other rows in the same statement.
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

// take makes a warm environment a request's.
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

// Replace takes a claimed environment that turned out bad away from its request and gives the request
// another: in one transaction strip is called on the bad row (it must end Destroying, or Leased and doubted when it
// turned out to be somebody's; with no tenant, team, owner, key; its name becomes its id), which then counts for nobody, and the rest is as Admit
// does without Decide: another warm one, else a new pending row. It counts in the periods that the request was
// admitted in, and of what the bad one has cost nothing counts. Without a RequestHash the bad one's is kept.
//
// Errors: ErrFenced when the work on the bad row was taken over since generation, CodeConflict when
// it is not being handed over any more, CodeNotFound, and what strip and Take gave.
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

// takeAway takes a claimed environment from its holder, for good.
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
	withdrawn := env.State == fleet.Leased && env.Doubted && env.Work.Action == fleet.None // whoever has it is not known
	if env.State != fleet.Destroying && !withdrawn || env.Name != bad.ID || env.Tenant+env.Team+env.Owner+env.IdempotencyKey != "" {
		return fleet.Errorf(fleet.CodeInternal, "replace environment %s: it must end destroying or doubted, nobody's, and named by its id", bad.ID)
	}
	writes.Secrets = []byte{}
	return alter(ctx, tx, b, &alteration{before: bad, after: env, writes: writes})
}
