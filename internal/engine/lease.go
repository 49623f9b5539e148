package engine

import (
	"context"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store"
)

// Extend moves the end of a lease by a time, within the longest lifetime.
//
// Errors: not_found, invalid (not more than zero), conflict (not leased), policy (over the longest lifetime).
func (e *Engine) Extend(ctx context.Context, actor, nameOrID string, by time.Duration) (fleet.Environment, error) {
	if by <= 0 {
		return fleet.Environment{}, fleet.Errorf(fleet.CodeInvalid, "a lease is extended by more than zero, not by %s", by)
	}
	env, err := e.store.Find(ctx, nameOrID)
	if err != nil {
		return fleet.Environment{}, err
	}
	now := e.Now()
	env, err = e.change(ctx, env.ID, store.Expect{}, func(env *fleet.Environment) (store.Writes, error) {
		if env.State != fleet.Leased || env.Lease.Expired(now) {
			return store.Writes{}, notLeased(env, now)
		}
		limit := env.Lease.Start.Add(env.Lease.MaxTTL)
		// Compared by what is left, not by the sum: a huge duration must not overflow into the past.
		if room := limit.Sub(env.Lease.End); by > room {
			return store.Writes{}, fleet.Errorf(fleet.CodePolicy, "%s cannot be extended by %s: its longest lifetime is %s", env.Name, by, env.Lease.MaxTTL).
				WithHint("it can be extended by %s at most", room.Truncate(time.Second))
		}
		env.Lease.End = env.Lease.End.Add(by)
		return store.Writes{Events: []fleet.Event{
			e.event(env, actor, "lease.extended", "extended by %s, now until %s", by, env.Lease.End.Format(time.RFC3339)),
		}}, nil
	})
	if err == nil {
		nudge(e.planNudge)
	}
	return env, err
}

// Release ends an environment. It is accepted in every state, and releasing
// what is going or gone already changes nothing.
//
// Errors: not_found.
func (e *Engine) Release(ctx context.Context, actor, nameOrID string) (fleet.Environment, error) {
	env, err := e.store.Find(ctx, nameOrID)
	if err != nil {
		return fleet.Environment{}, err
	}
	now := e.Now()
	env, err = e.change(ctx, env.ID, store.Expect{}, func(env *fleet.Environment) (store.Writes, error) {
		switch env.State {
		case fleet.Destroying, fleet.Destroyed:
			return store.Writes{}, nil
		case fleet.Pending:
			// Nothing was begun for it, so there is nothing to take away.
			env.State, env.Reason, env.DestroyedAt = fleet.Destroyed, "released before it was started", now
		default:
			beginDestroy(env, "released by "+actor)
		}
		return store.Writes{Events: []fleet.Event{e.event(env, actor, "environment.released", "%s gave it back", actor)}}, nil
	})
	if err != nil {
		return fleet.Environment{}, err
	}
	e.running.cancelCreate(env.ID)
	nudge(e.workNudge)
	return env, nil
}

// beginDestroy records that an environment is to be destroyed. A worker that is
// creating it keeps the row until it has stopped, so that no two Terraforms run on one environment.
func beginDestroy(env *fleet.Environment, reason string) {
	env.State, env.Reason = fleet.Destroying, reason
	env.Work.Action = fleet.Destroy
	env.Work.Attempts, env.Work.NotBefore, env.Work.Deadline, env.Work.LastError = 0, time.Time{}, time.Time{}, ""
}

func notLeased(env *fleet.Environment, now time.Time) error {
	state := string(env.State)
	if env.State == fleet.Leased && env.Lease.Expired(now) {
		state = "expired"
	}
	return fleet.Errorf(fleet.CodeConflict, "environment %s is %s, not ready for use", env.Name, state).
		WithHint("see: bothy show %s", env.Name)
}

// settle is the charge for an environment's whole life, booked when it is gone.
func settle(env *fleet.Environment, now time.Time) []ledger.Entry {
	if env.BilledFrom.IsZero() {
		return nil
	}
	return []ledger.Entry{{
		At: now, EnvironmentID: env.ID, Owner: env.Owner, Blueprint: env.Blueprint.String(), Account: "environment",
		From: env.BilledFrom, Until: env.BilledUntil,
		AmountMicros: ledger.Accrued(*env, now), Currency: env.Size.Currency,
	}}
}
