package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
)

// resolved is a pool with what its blueprint is now.
type resolved struct {
	plan.Pool
	bp     fleet.Blueprint
	inputs map[string]any
}

// resolve finds what a pool's members are made from now. What cannot be made is told in Broken.
func (e *Engine) resolve(pool fleet.Pool, rates []fleet.Rate, now time.Time) resolved {
	r := resolved{Pool: plan.Pool{Pool: pool}}
	bp, size, err := e.sized(Request{Blueprint: pool.Blueprint, Size: pool.Size})
	if err == nil {
		r.inputs, err = fleet.CheckInputs(bp, pool.Inputs)
	}
	if err == nil {
		r.bp, r.Digest, r.Size = bp, bp.Ref.Digest, priced(size, bp, rates, now)
		r.MatchKey, err = fleet.MatchKey(r.Digest, size.Name, r.inputs)
	}
	if err != nil {
		r.Broken = err.Error()
	}
	return r
}

// offer is what the platform team has set, by name.
type offer struct {
	rates []fleet.Rate
	pools []fleet.Pool
}

func (e *Engine) readOffer(ctx context.Context) (o offer, err error) {
	if o.rates, err = e.store.Rates(ctx); err != nil {
		return o, err
	}
	o.pools, err = e.store.Pools(ctx)
	return o, err
}

// resolveAll gives the pools as they are now.
func (e *Engine) resolveAll(o offer, now time.Time) []resolved {
	all := make([]resolved, len(o.pools))
	for i, p := range o.pools {
		all[i] = e.resolve(p, o.rates, now)
	}
	return all
}

// pricedPools gives all pools at the prices in force.
func (e *Engine) pricedPools(ctx context.Context) ([]resolved, error) {
	o, err := e.readOffer(ctx)
	return e.resolveAll(o, e.Now()), err
}

// Pools gives all pools with what there is of each, by name.
func (e *Engine) Pools(ctx context.Context, who fleet.Identity) ([]PoolStatus, error) {
	pools, err := e.pricedPools(ctx)
	if err != nil || len(pools) == 0 {
		return nil, err
	}
	envs, err := e.store.Live(ctx)
	if err != nil {
		return nil, err
	}
	return e.statuses(ctx, who, pools, envs)
}

// Pool gives one.
//
// Errors: not_found.
func (e *Engine) Pool(ctx context.Context, who fleet.Identity, name string) (PoolStatus, error) {
	pool, err := e.store.Pool(ctx, name)
	if err != nil {
		return PoolStatus{}, err
	}
	return e.statusOf(ctx, who, pool)
}

func (e *Engine) statusOf(ctx context.Context, who fleet.Identity, pool fleet.Pool) (PoolStatus, error) {
	rates, err := e.store.Rates(ctx)
	if err != nil {
		return PoolStatus{}, err
	}
	envs, err := e.store.Live(ctx)
	if err != nil {
		return PoolStatus{}, err
	}
	all, err := e.statuses(ctx, who, []resolved{e.resolve(pool, rates, e.Now())}, envs)
	if err != nil {
		return PoolStatus{}, err
	}
	return all[0], nil
}

// statuses tells what there is of each pool, in their order.
func (e *Engine) statuses(ctx context.Context, who fleet.Identity, pools []resolved, envs []fleet.Environment) ([]PoolStatus, error) {
	stuck, err := e.stuckPools(ctx, pools, envs)
	if err != nil {
		return nil, err
	}
	all := make([]PoolStatus, len(pools))
	for i, p := range pools {
		all[i] = poolStatus(p, envs, who, e.Now())
		if st, ok := stuck[p.Name]; ok {
			all[i].Stuck, all[i].StuckHint = st.Reason, stuckHint(p.Pool.Pool, st)
		}
	}
	return all, nil
}

// poolStatus counts a pool's members. Claimed ones are counted only for those who may see them.
func poolStatus(p resolved, envs []fleet.Environment, who fleet.Identity, now time.Time) PoolStatus {
	st := PoolStatus{Pool: p.Pool.Pool, Digest: p.Digest, TargetNow: plan.TargetNow(p.Pool.Pool, now), Broken: p.Broken}
	for _, env := range envs {
		if env.Pool != p.Name {
			continue
		}
		switch env.State {
		case fleet.Warm:
			st.Warm++
			if env.MatchKey != p.MatchKey {
				st.Stale++
			}
		case fleet.Pending, fleet.Provisioning:
			if env.Tenant == "" {
				st.Making++
			}
		case fleet.Leased:
			if who.Sees() == "" || who.Sees() == env.Tenant {
				st.Leased++
			}
		}
	}
	return st
}

// SetPool makes a pool or changes it. One that is held stays so.
//
// Errors: invalid, not_found (no such blueprint), conflict (the pool is kept by this daemon's file).
func (e *Engine) SetPool(ctx context.Context, who fleet.Identity, pool fleet.Pool) (PoolStatus, error) {
	old, err := e.store.Pool(ctx, pool.Name)
	if err != nil && fleet.CodeOf(err) != fleet.CodeNotFound {
		return PoolStatus{}, err
	}
	if e.kept(old) {
		return PoolStatus{}, keptByFile(old.Name)
	}
	pool.FromFile = false
	kept, err := e.writePool(ctx, pool, who.User, orphaned(old)...)
	if err != nil {
		return PoolStatus{}, err
	}
	e.bus.Nudge(bus.Plan)
	return e.statusOf(ctx, who, kept)
}

// kept reports whether this daemon's file of pools keeps a pool. One that a file once kept, and that this daemon has none
// for, is anybody's of the platform to set and remove.
func (e *Engine) kept(p fleet.Pool) bool { return p.FromFile && e.cfg.Pools != nil }

// orphaned is what the record adds when a pool is taken out of a file's hands.
func orphaned(old fleet.Pool) []string {
	if !old.FromFile {
		return nil
	}
	return []string{"it was kept by a file, which this daemon does not have"}
}

func keptByFile(name string) error {
	return fleet.Errorf(fleet.CodeConflict, "pool %s is kept by the platform team's file", name).
		WithHint("change the file; the daemon follows it within seconds")
}

// writePool checks a pool and keeps it; the record has the notes, too.
func (e *Engine) writePool(ctx context.Context, pool fleet.Pool, actor string, notes ...string) (fleet.Pool, error) {
	if err := e.checkPool(&pool); err != nil {
		return pool, err
	}
	pool.UpdatedAt, pool.UpdatedBy = e.Now(), actor
	said := fmt.Sprintf("%d of %s %s, between %d and %d, %d more while it is renewed",
		pool.Target, pool.Blueprint, pool.Size, pool.Min, pool.Max, pool.Surge)
	return e.store.SetPool(ctx, pool, e.journal.PoolEvent(pool.Name, actor, "pool.set", "%s", strings.Join(append([]string{said}, notes...), "; ")))
}

// RemovePool forgets a pool. Its warm members are destroyed, those that were claimed live on.
//
// Errors: not_found, conflict (the pool is kept by this daemon's file).
func (e *Engine) RemovePool(ctx context.Context, who fleet.Identity, name string) error {
	pool, err := e.store.Pool(ctx, name)
	if err != nil {
		return err
	}
	if e.kept(pool) {
		return keptByFile(name)
	}
	said := strings.Join(append([]string{who.User + " removed it"}, orphaned(pool)...), "; ")
	if err := e.store.RemovePool(ctx, name, e.journal.PoolEvent(name, who.User, "pool.removed", "%s", said)); err != nil {
		return err
	}
	e.bus.Nudge(bus.Plan)
	return nil
}

// ResumePool lets a pool that was held for its failures work again.
//
// Errors: not_found.
func (e *Engine) ResumePool(ctx context.Context, who fleet.Identity, name string) (PoolStatus, error) {
	pool, err := e.store.ChangePool(ctx, name, 0, func(p *fleet.Pool) ([]fleet.Event, error) {
		if p.Held == "" && p.Failures == 0 {
			return nil, nil
		}
		p.Held, p.HeldAt, p.Failures = "", time.Time{}, 0
		return []fleet.Event{e.journal.PoolEvent(name, who.User, "pool.resumed", "%s let it work again", who.User)}, nil
	})
	if err != nil {
		return PoolStatus{}, err
	}
	e.bus.Nudge(bus.Plan)
	return e.statusOf(ctx, who, pool)
}
