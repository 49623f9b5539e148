package pools

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
)

// Resolved is a pool with what its blueprint is now.
type Resolved struct {
	plan.Pool
	// MadeFrom is that blueprint, MadeWith what a member is given.
	MadeFrom fleet.Blueprint
	MadeWith map[string]any
}

// resolve finds what a pool's members are made from now. Broken says why no member can be created.
func (c *Catalogue) resolve(pool fleet.Pool, rates []fleet.Rate, now time.Time) Resolved {
	r := Resolved{Pool: plan.Pool{Pool: pool}}
	bp, size, err := c.cfg.Offer.Sized(pool.Blueprint, pool.Size)
	if err == nil {
		r.MadeWith, err = fleet.CheckInputs(bp, pool.Inputs)
	}
	if err == nil {
		r.MadeFrom, r.Digest, r.Size = bp, bp.Ref.Digest, c.cfg.Offer.Priced(size, bp, rates, now)
		r.MatchKey, err = fleet.MatchKey(r.Digest, size.Name, r.MadeWith)
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

// read reads what is set now.
func (c *Catalogue) read(ctx context.Context) (o offer, err error) {
	if o.rates, err = c.cfg.Store.Rates(ctx); err != nil {
		return o, err
	}
	o.pools, err = c.cfg.Store.Pools(ctx)
	return o, err
}

// resolveAll gives the pools as they are now.
func (c *Catalogue) resolveAll(o offer) []Resolved {
	now := c.cfg.Clock.Now()
	all := make([]Resolved, len(o.pools))
	for i, p := range o.pools {
		all[i] = c.resolve(p, o.rates, now)
	}
	return all
}

// Priced gives all pools at the prices in force.
func (c *Catalogue) Priced(ctx context.Context) ([]Resolved, error) {
	o, err := c.read(ctx)
	return c.resolveAll(o), err
}

// Offered gives the rates that were set and all pools, read once for all requests that come at the same time.
func (c *Catalogue) Offered(ctx context.Context) (rates []fleet.Rate, pools []plan.Pool, err error) {
	o, err := c.shared.Get(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range c.resolveAll(o) {
		pools = append(pools, p.Pool)
	}
	return o.rates, pools, nil
}

// All returns all pools with the state of their members, by name.
func (c *Catalogue) All(ctx context.Context, who fleet.Identity) ([]Status, error) {
	pools, err := c.Priced(ctx)
	if err != nil || len(pools) == 0 {
		return nil, err
	}
	envs, err := c.cfg.Store.Live(ctx)
	if err != nil {
		return nil, err
	}
	return c.statuses(ctx, who, pools, envs)
}

// One returns a pool with the state of its members.
//
// Errors: not_found.
func (c *Catalogue) One(ctx context.Context, who fleet.Identity, name string) (Status, error) {
	pool, err := c.cfg.Store.Pool(ctx, name)
	if err != nil {
		return Status{}, err
	}
	return c.statusOf(ctx, who, pool)
}

func (c *Catalogue) statusOf(ctx context.Context, who fleet.Identity, pool fleet.Pool) (Status, error) {
	rates, err := c.cfg.Store.Rates(ctx)
	if err != nil {
		return Status{}, err
	}
	envs, err := c.cfg.Store.Live(ctx)
	if err != nil {
		return Status{}, err
	}
	all, err := c.statuses(ctx, who, []Resolved{c.resolve(pool, rates, c.cfg.Clock.Now())}, envs)
	if err != nil {
		return Status{}, err
	}
	return all[0], nil
}

// statuses returns the state of each pool, in their order.
func (c *Catalogue) statuses(ctx context.Context, who fleet.Identity, pools []Resolved, envs []fleet.Environment) ([]Status, error) {
	stuck, err := c.stuck(ctx, pools, envs)
	if err != nil {
		return nil, err
	}
	all := make([]Status, len(pools))
	for i, p := range pools {
		all[i] = status(p, envs, who, c.cfg.Clock.Now())
		if st, ok := stuck[p.Name]; ok {
			all[i].Stuck, all[i].StuckHint = st.Reason, stuckHint(p.Pool.Pool, st)
		}
	}
	return all, nil
}

// status counts a pool's members. Claimed ones are counted only for those who may see them.
func status(p Resolved, envs []fleet.Environment, who fleet.Identity, now time.Time) Status {
	st := Status{Pool: p.Pool.Pool, Digest: p.Digest, TargetNow: plan.TargetNow(p.Pool.Pool, now), Broken: p.Broken}
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

// Set makes a pool or changes it. One that is held stays so.
//
// Errors: invalid, not_found (no such blueprint), conflict (the pool is kept by this daemon's file).
func (c *Catalogue) Set(ctx context.Context, who fleet.Identity, pool fleet.Pool) (Status, error) {
	old, err := c.cfg.Store.Pool(ctx, pool.Name)
	if err != nil && fleet.CodeOf(err) != fleet.CodeNotFound {
		return Status{}, err
	}
	if c.kept(old) {
		return Status{}, keptByFile(old.Name)
	}
	pool.FromFile = false
	kept, err := c.write(ctx, pool, who.User, orphaned(old)...)
	if err != nil {
		return Status{}, err
	}
	c.cfg.Bus.Nudge(bus.Plan)
	return c.statusOf(ctx, who, kept)
}

// kept reports whether this daemon's file of pools keeps a pool. One that a file once kept, and that this daemon has none
// for, is anybody's of the platform to set and remove.
func (c *Catalogue) kept(p fleet.Pool) bool { return p.FromFile && c.cfg.File != nil }

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

// write checks a pool and keeps it; the record has the notes, too.
func (c *Catalogue) write(ctx context.Context, pool fleet.Pool, actor string, notes ...string) (fleet.Pool, error) {
	if err := c.check(&pool); err != nil {
		return pool, err
	}
	pool.UpdatedAt, pool.UpdatedBy = c.cfg.Clock.Now(), actor
	said := fmt.Sprintf("%d of %s %s, between %d and %d, %d more while it is renewed",
		pool.Target, pool.Blueprint, pool.Size, pool.Min, pool.Max, pool.Surge)
	return c.cfg.Store.SetPool(ctx, pool, c.cfg.Journal.PoolEvent(pool.Name, actor, "pool.set", "%s", strings.Join(append([]string{said}, notes...), "; ")))
}

// Remove forgets a pool. Its warm members are destroyed, those that were claimed continue to run.
//
// Errors: not_found, conflict (the pool is kept by this daemon's file).
func (c *Catalogue) Remove(ctx context.Context, who fleet.Identity, name string) error {
	pool, err := c.cfg.Store.Pool(ctx, name)
	if err != nil {
		return err
	}
	if c.kept(pool) {
		return keptByFile(name)
	}
	said := strings.Join(append([]string{who.User + " removed it"}, orphaned(pool)...), "; ")
	if err := c.cfg.Store.RemovePool(ctx, name, c.cfg.Journal.PoolEvent(name, who.User, "pool.removed", "%s", said)); err != nil {
		return err
	}
	c.cfg.Bus.Nudge(bus.Plan)
	return nil
}

// Resume lets a pool that was held for its failures work again.
//
// Errors: not_found.
func (c *Catalogue) Resume(ctx context.Context, who fleet.Identity, name string) (Status, error) {
	pool, err := c.cfg.Store.ChangePool(ctx, name, 0, func(p *fleet.Pool) ([]fleet.Event, error) {
		if p.Held == "" && p.Failures == 0 {
			return nil, nil
		}
		p.Held, p.HeldAt, p.Failures = "", time.Time{}, 0
		return []fleet.Event{c.cfg.Journal.PoolEvent(name, who.User, "pool.resumed", "%s let it work again", who.User)}, nil
	})
	if err != nil {
		return Status{}, err
	}
	c.cfg.Bus.Nudge(bus.Plan)
	return c.statusOf(ctx, who, pool)
}
