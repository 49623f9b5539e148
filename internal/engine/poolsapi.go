package engine

import (
	"context"

	"github.com/bothy-env/bothy/internal/engine/pools"
	"github.com/bothy-env/bothy/internal/engine/reconcile"
	"github.com/bothy-env/bothy/internal/fleet"
)

// PoolStatus is a pool as it is set and what there is of it.
type PoolStatus = pools.Status

// Pools gives all pools with what there is of each, by name.
func (e *Engine) Pools(ctx context.Context, who fleet.Identity) ([]PoolStatus, error) {
	return e.catalogue.All(ctx, who)
}

// Pool gives one.
//
// Errors: not_found.
func (e *Engine) Pool(ctx context.Context, who fleet.Identity, name string) (PoolStatus, error) {
	return e.catalogue.One(ctx, who, name)
}

// SetPool makes a pool or changes it. One that is held stays so.
//
// Errors: invalid, not_found (no such blueprint), conflict (the pool is kept by this daemon's file).
func (e *Engine) SetPool(ctx context.Context, who fleet.Identity, pool fleet.Pool) (PoolStatus, error) {
	return e.catalogue.Set(ctx, who, pool)
}

// RemovePool forgets a pool. Its warm members are destroyed, those that were claimed live on.
//
// Errors: not_found, conflict (the pool is kept by this daemon's file).
func (e *Engine) RemovePool(ctx context.Context, who fleet.Identity, name string) error {
	return e.catalogue.Remove(ctx, who, name)
}

// ResumePool lets a pool that was held for its failures work again.
//
// Errors: not_found.
func (e *Engine) ResumePool(ctx context.Context, who fleet.Identity, name string) (PoolStatus, error) {
	return e.catalogue.Resume(ctx, who, name)
}

// ApplyPools makes the pools that a file keeps those given.
func (e *Engine) ApplyPools(ctx context.Context, all []fleet.Pool) error {
	return e.catalogue.Apply(ctx, all)
}

// poolPlanner tells the pools who plans.
type poolPlanner struct{ *reconcile.Controller }

func (p poolPlanner) Leads() bool { return p.Leader().Leads() }
