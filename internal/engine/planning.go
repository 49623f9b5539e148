package engine

import (
	"context"

	"github.com/bothy-env/bothy/internal/engine/acquire"
	"github.com/bothy-env/bothy/internal/engine/reconcile"
	"github.com/bothy-env/bothy/internal/fleet"
)

// planPools gives the controller the pools.
type planPools struct{ e *Engine }

func (p planPools) Follow(ctx context.Context) { p.e.catalogue.Follow(ctx) }

func (p planPools) Priced(ctx context.Context) ([]reconcile.Pool, error) {
	all, err := p.e.catalogue.Priced(ctx)
	pools := make([]reconcile.Pool, len(all))
	for i, r := range all {
		pools[i] = reconcile.Pool{Pool: r.Pool, Member: func() fleet.Environment { return acquire.Blank(r.MadeFrom, r.Size, r.MadeWith) }}
	}
	return pools, err
}

// planRecovery tells the controller whether the database can be believed.
type planRecovery struct{ e *Engine }

func (p planRecovery) Safety(ctx context.Context) (string, error) {
	return p.e.safeMode.Safety(ctx)
}

func (p planRecovery) Learn(envs []fleet.Environment) { p.e.health.Relearn(envs) }

// Brake tells whether the reap limiter is on, and why.
func (e *Engine) Brake(ctx context.Context, _ fleet.Identity) (fleet.Brake, error) {
	return e.reconcile.Limiter().State(ctx)
}

// ReleaseBrake lets everything go that is due.
func (e *Engine) ReleaseBrake(ctx context.Context, who fleet.Identity) (fleet.Brake, error) {
	return e.reconcile.Limiter().Release(ctx, who)
}
