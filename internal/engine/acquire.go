package engine

import (
	"context"
	"errors"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/pools"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// nameTries is how often a made-up name is made again because it was taken.
const nameTries = 8

// Acquire gives a request a warm environment, ready for use, or admits it and answers at once with a
// pending one, or gives what the same idempotency key gave before.
//
// Errors: invalid (a name, size, time, input, variable or secret is wrong), too_large (the secrets),
// not_found (no such blueprint), policy (the ttl is over the blueprint's maximum, or a limit does not allow
// that blueprint or size), quota (a limit is reached, or it would have to wait and may not),
// conflict (the name is taken, or the key was used for another request).
func (e *Engine) Acquire(ctx context.Context, req Request) (Acquired, error) {
	w, pools, err := e.wished(ctx, req)
	if err != nil {
		return Acquired{}, err
	}
	if err := e.hosts.Room(); err != nil && !e.store.Shared() {
		// Each would take of what is kept back to end leases. Where daemons share a database another one may serve it.
		return Acquired{}, err
	}
	// Kept when it is not given a warm one.
	w.env.Cold = coldReason(w, pools, e.Now())
	if w.noQueue {
		// Looked at before, as it takes long, and told only when the key was not used before.
		f, err := e.forecast(ctx, w, e.Now())
		if err != nil {
			return Acquired{}, err
		}
		if f.rank > 0 {
			w.wouldWait = f.refusal()
		}
	}
	admitted, err := e.admit(ctx, w)
	if errors.Is(err, store.ErrSetBack) {
		// Nothing was written, and once safe mode is on nothing warm is given.
		if err = e.safeMode.LookBehind(ctx); err == nil {
			admitted, err = e.admit(ctx, w)
		}
	}
	if err != nil {
		return Acquired{}, err
	}
	env := admitted.Env
	switch {
	case admitted.Existed && env.State == fleet.Leased && env.Work.Action == fleet.Personalise:
		// The first try is still at it, or was cut off.
		env, err = e.awaitHandOver(ctx, w, env)
	case admitted.Existed:
	case admitted.Claimed:
		if env, err = e.handOverClaim(ctx, w, env); err == nil && env.Work.Action == fleet.Personalise {
			env, err = e.awaitHandOver(ctx, w, env)
		}
	default:
		e.bus.Nudge(bus.Plan)
	}
	if err != nil {
		return Acquired{}, err
	}
	ready := env.State == fleet.Leased && env.Work.Action == fleet.None
	return Acquired{Env: env, Existed: admitted.Existed, Claimed: admitted.Claimed && ready}, nil
}

// wished checks a request against what is offered now, and gives the pools there are.
func (e *Engine) wished(ctx context.Context, req Request) (*wish, []pools.Resolved, error) {
	o, err := e.offers.Get(ctx)
	if err != nil {
		return nil, nil, err
	}
	now := e.Now()
	w, err := e.wish(req, o.Rates, now)
	return w, e.catalogue.ResolveAll(o, now), err
}

// admit asks the store for an environment, under another name when a made-up one is taken.
func (e *Engine) admit(ctx context.Context, w *wish) (store.Admitted, error) {
	for try := 1; ; try++ {
		a, err := e.admission(w, e.Now())
		if err != nil {
			return store.Admitted{}, err
		}
		admitted, err := e.store.Admit(ctx, a)
		if errors.Is(err, store.ErrNameTaken) && w.env.Name == "" && try < nameTries {
			continue
		}
		if err != nil && w.refusal != nil {
			err = e.tellHolders(ctx, w.refusal, a.Env.CreatedAt, err)
		}
		return admitted, err
	}
}

// admission is what the store is asked to do for a wish at now. A limit that refuses it is noted in the wish.
func (e *Engine) admission(w *wish, now time.Time) (store.Admission, error) {
	env := w.env
	env.ID, env.CreatedAt, env.UpdatedAt = newID(), now, now
	if env.Name == "" {
		env.Name = e.cfg.NewName()
	}
	a := store.Admission{
		RequestHash: w.hash, HeldMicros: w.hold(now), HeldFor: env.Lease.TTL,
		Event: e.journal.Event(&env, env.Owner, "environment.requested", "%s asked for %s, size %s, for %s",
			env.Owner, env.Blueprint, env.Size.Name, env.Lease.TTL),
		Decide: func(scopes []fleet.ScopeUsage) error { return w.decide(scopes, now) },
	}
	a.Env = env
	var err error
	if a.Secrets, err = e.vault.SealSecrets(&env, w.secrets); err != nil {
		return a, err
	}
	if !w.noPool {
		a.Take = func(warm *fleet.Environment) (store.Writes, error) { return e.take(&env, warm, now) }
	}
	return a, nil
}
