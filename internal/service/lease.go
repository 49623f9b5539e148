package service

import (
	"context"
	"time"

	"github.com/bothy-env/bothy/internal/engine/acquire"
	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/quota"
	"github.com/bothy-env/bothy/internal/store"
)

// Extend extends a lease, within the maximum lifetime and the limits of its tenant, team and user.
//
// Errors: not_found, invalid (not more than zero), conflict (not leased), policy (not owned by, and not shared with,
// the caller, or over the maximum lifetime), quota (a limit of time or money is reached).
func (e *Environments) Extend(ctx context.Context, who fleet.Identity, nameOrID string, by time.Duration) (fleet.Environment, error) {
	by = by.Truncate(time.Microsecond)
	if by <= 0 {
		return fleet.Environment{}, fleet.Errorf(fleet.CodeInvalid, "a lease is extended by more than zero, not by %s", by).
			WithHint("give a time such as 30m")
	}
	env, err := e.permit(ctx, who, nameOrID, toUse, "extend")
	if err != nil {
		return fleet.Environment{}, err
	}
	now, asked := e.cfg.Clock.Now(), env.HeldAt
	var refusal *quota.Refusal
	env, err = e.cfg.Journal.Change(ctx, env.ID, store.Expect{}, func(env *fleet.Environment) (store.Writes, error) {
		refusal = nil
		if err := refused(who, toUse, env); err != nil {
			return store.Writes{}, err
		}
		if !env.LeasedAt(now) {
			return store.Writes{}, notLeased(env, now)
		}
		believeHolder(env, now)
		return e.extend(env, who, by, now, &refusal)
	})
	switch {
	case err == nil:
		e.cfg.Leases.Learn(env)
		e.cfg.Safety.NoteGiven()
		e.cfg.Bus.Nudge(bus.Plan)
	case refusal != nil:
		err = acquire.WithHolders(ctx, e.cfg.Store, refusal, asked, err)
	}
	return env, err
}

// extend changes the row. refusal receives the refusal of a limit.
func (e *Environments) extend(
	env *fleet.Environment, who fleet.Identity, by time.Duration, now time.Time, refusal **quota.Refusal,
) (store.Writes, error) {
	limit := env.Lease.Start.Add(env.Lease.MaxTTL)
	// Compares what is left, not the sum: a huge duration must not overflow into the past.
	if room := limit.Sub(env.Lease.End); by > room {
		return store.Writes{}, fleet.Errorf(fleet.CodePolicy, "%s cannot be extended by %s: its longest lifetime is %s", env.Name, by, env.Lease.MaxTTL).
			WithHint("it can be extended by %s at most", room.Truncate(time.Second))
	}
	end := env.Lease.End.Add(by)
	// The price of the whole lease, not of the extension: small extensions, each rounded, would cost nothing.
	whole := ledger.Hold(env.Size.RateMicros, env.Lease.Start, end)
	ext := quota.Extension{
		By: by, Lifetime: end.Sub(env.Lease.Start),
		Micros: max(whole-env.HeldMicros, 0), Currency: env.Size.Currency,
	}
	env.Lease.End = end
	env.Lease.Warned = env.Lease.Warned && env.Lease.Warning(now)
	env.HeldMicros += ext.Micros
	env.HeldFor += by
	return store.Writes{
		Events: []fleet.Event{e.cfg.Journal.Event(env, who.User, "lease.extended", "extended by %s, now until %s", by, end.Format(time.RFC3339))},
		Decide: func(scopes []fleet.ScopeUsage) error {
			if *refusal = quota.CheckExtend(ext, scopes); *refusal != nil {
				return (*refusal).Err()
			}
			return nil
		},
	}, nil
}

// believeHolder ends the doubt about an environment, because its owner uses it. If its lease seems to have expired, it continues
// from now.
func believeHolder(env *fleet.Environment, now time.Time) {
	if env.Doubted && env.Lease.Expired(now) {
		env.Lease.End = now
	}
	env.Doubted = false
}

// Touch records that an environment is in use, so that it does not expire as idle.
//
// Errors: not_found, policy (not owned by, and not shared with, the caller), conflict (not leased).
func (e *Environments) Touch(ctx context.Context, who fleet.Identity, nameOrID string) (fleet.Environment, error) {
	env, err := e.permit(ctx, who, nameOrID, toUse, "touch")
	if err != nil {
		return env, err
	}
	if now := e.cfg.Clock.Now(); env.State != fleet.Leased || env.Lease.Expired(now) {
		return fleet.Environment{}, notLeased(&env, now)
	}
	return e.cfg.Meter.Note(ctx, env)
}

// Release deletes an environment, in every state. If it is being deleted, or is deleted, nothing changes.
//
// Errors: not_found, policy (not owned by, and not shared with, the caller).
func (e *Environments) Release(ctx context.Context, who fleet.Identity, nameOrID string) (fleet.Environment, error) {
	env, err := e.permit(ctx, who, nameOrID, toUse, "delete")
	if err != nil {
		return fleet.Environment{}, err
	}
	stuck, _, err := e.stuckOnHost(ctx, env)
	if err != nil {
		return fleet.Environment{}, err
	}
	reason := "released by " + who.User
	if stuck != "" {
		reason += "; deleted once its host is back: it runs on " + stuck
	}
	now := e.cfg.Clock.Now()
	env, err = e.cfg.Journal.Change(ctx, env.ID, store.Expect{}, func(env *fleet.Environment) (store.Writes, error) {
		if err := refused(who, toUse, env); err != nil {
			return store.Writes{}, err
		}
		switch env.State {
		case fleet.Destroying, fleet.Destroyed:
			return store.Writes{}, nil
		case fleet.Pending:
			// Nothing was begun for it, so there is nothing to delete.
			writes := e.cfg.Journal.Unbegun(env, "environment.released", "released before it was started", now)
			writes.Events[0].Actor = who.User
			return writes, nil
		}
		journal.BeginDestroy(env, reason)
		return store.Writes{Events: []fleet.Event{e.cfg.Journal.Event(env, who.User, "environment.released", "%s gave it back", who.User)}}, nil
	})
	if err != nil {
		return fleet.Environment{}, err
	}
	e.cfg.Work.CancelCreate(env.ID)
	e.cfg.Bus.Nudge(bus.Work, bus.Plan)
	return env, nil
}

// notLeased is the error for an environment that cannot be used, or not yet.
func notLeased(env *fleet.Environment, now time.Time) error {
	state := string(env.State)
	switch {
	case env.State == fleet.Leased && env.Lease.Expired(now):
		state = "expired"
	case env.Awaited():
		return notReady(env)
	}
	return fleet.Errorf(fleet.CodeConflict, "environment %s is %s, not ready for use", env.Name, state).
		WithHint("see: bothy show %s", env.Name)
}

func notReady(env *fleet.Environment) error {
	state := string(env.State)
	if env.State == fleet.Leased {
		state = "just being handed over"
	}
	return fleet.Errorf(fleet.CodeNotReady, "environment %s is %s, not ready for use", env.Name, state).
		WithHint("try again in a moment; see: bothy show %s", env.Name)
}
