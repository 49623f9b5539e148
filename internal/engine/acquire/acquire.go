package acquire

import (
	"context"
	"errors"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
	"github.com/bothy-env/bothy/internal/store"
)

// nameTries is how many generated names one request tries if they are in use.
const nameTries = 8

// Acquired is the answer to a request.
type Acquired struct {
	Env fleet.Environment
	// Existed: the idempotency key was used before; Env is the environment that it returned then, in its present state.
	Existed bool
	// Claimed: a warm environment was claimed, and Env is ready for use.
	Claimed bool
}

// Acquire claims a warm environment, ready for use, for a request. If there is none, it admits the request and returns a pending
// one at once. A known idempotency key returns the environment that it returned before.
//
// Errors: invalid (a name, size, time, input, variable or secret is wrong), too_large (the secrets),
// not_found (no such blueprint), policy (the ttl exceeds the blueprint's maximum, or a limit does not allow
// that blueprint or size), quota (a limit is reached, or it would have to wait and may not),
// conflict (the name is in use, or the key was used for another request).
func (r *Requests) Acquire(ctx context.Context, req Request) (Acquired, error) {
	w, pools, err := r.wished(ctx, req)
	if err != nil {
		return Acquired{}, err
	}
	if err := r.cfg.Hosts.Room(); err != nil && !r.cfg.Store.Shared() {
		// Each would use up the reserve for ending leases. If daemons share the database, another one may serve the request.
		return Acquired{}, err
	}
	// Stored if it does not get a warm one.
	w.env.Cold = coldReason(w, pools, r.cfg.Clock.Now())
	if w.noQueue {
		// Before the transaction, as it takes long; it only matters if the key is new.
		f, err := r.forecast(ctx, w, r.cfg.Clock.Now())
		if err != nil {
			return Acquired{}, err
		}
		if f.rank > 0 {
			w.wouldWait = f.refusal()
		}
	}
	admitted, err := r.admit(ctx, w)
	if errors.Is(err, store.ErrSetBack) {
		// Nothing was written. In safe mode, no warm one is claimed.
		if err = r.cfg.Safety.LookBehind(ctx); err == nil {
			admitted, err = r.admit(ctx, w)
		}
	}
	if err != nil {
		return Acquired{}, err
	}
	env := admitted.Env
	switch {
	case admitted.Existed && env.State == fleet.Leased && env.Work.Action == fleet.Personalise:
		// The first try still hands it over, or was cut off.
		env, err = r.awaitHandOver(ctx, w, env)
	case admitted.Existed:
	case admitted.Claimed:
		if env, err = r.handOverClaim(ctx, w, env); err == nil && env.Work.Action == fleet.Personalise {
			env, err = r.awaitHandOver(ctx, w, env)
		}
	default:
		r.cfg.Bus.Nudge(bus.Plan)
	}
	if err != nil {
		return Acquired{}, err
	}
	ready := env.State == fleet.Leased && env.Work.Action == fleet.None
	return Acquired{Env: env, Existed: admitted.Existed, Claimed: admitted.Claimed && ready}, nil
}

// wished checks a request against the current offers, and returns all pools.
func (r *Requests) wished(ctx context.Context, req Request) (*wish, []plan.Pool, error) {
	rates, pools, err := r.cfg.Offers.Offered(ctx)
	if err != nil {
		return nil, nil, err
	}
	w, err := r.wish(req, rates, r.cfg.Clock.Now())
	return w, pools, err
}

// admit asks the store for an environment, with another generated name if the last one is in use.
func (r *Requests) admit(ctx context.Context, w *wish) (store.Admitted, error) {
	for try := 1; ; try++ {
		a, err := r.admission(w, r.cfg.Clock.Now())
		if err != nil {
			return store.Admitted{}, err
		}
		admitted, err := r.cfg.Store.Admit(ctx, a)
		if errors.Is(err, store.ErrNameTaken) && w.env.Name == "" && try < nameTries {
			continue
		}
		if err != nil && w.refusal != nil {
			err = WithHolders(ctx, r.cfg.Store, w.refusal, a.Env.CreatedAt, err)
		}
		return admitted, err
	}
}

// admission is the transaction for a wish at now. The wish keeps the refusal of a limit.
func (r *Requests) admission(w *wish, now time.Time) (store.Admission, error) {
	env := w.env
	env.ID, env.CreatedAt, env.UpdatedAt = NewID(), now, now
	if env.Name == "" {
		env.Name = r.cfg.NewName()
	}
	a := store.Admission{
		RequestHash: w.hash, HeldMicros: w.hold(now), HeldFor: env.Lease.TTL,
		Event: r.cfg.Journal.Event(&env, env.Owner, "environment.requested", "%s asked for %s, size %s, for %s",
			env.Owner, env.Blueprint, env.Size.Name, env.Lease.TTL),
		Decide: func(scopes []fleet.ScopeUsage) error { return w.decide(scopes, now) },
	}
	a.Env = env
	var err error
	if a.Secrets, err = r.cfg.Vault.SealSecrets(&env, w.secrets); err != nil {
		return a, err
	}
	if !w.noPool {
		a.Take = func(warm *fleet.Environment) (store.Writes, error) { return r.take(&env, warm, now) }
	}
	return a, nil
}
