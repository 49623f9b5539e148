package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// sweepLoop looks now and then for what outlived its environment, and keeps the networks in order.
func (e *Engine) sweepLoop(ctx context.Context) {
	loop(ctx, nil, func() time.Duration {
		if err := e.sweepOnce(ctx); err != nil && ctx.Err() == nil {
			e.logger.Warn("sweep failed; it is done again", "error", err)
		}
		return e.cfg.SweepEvery
	})
}

// sweepOnce removes what carries the verified labels of an environment that is
// destroyed: a create whose reply was lost may have landed after its sweep. What belongs to
// no known environment is reported and left alone.
func (e *Engine) sweepOnce(ctx context.Context) error {
	if err := e.reconcileNetworks(ctx); err != nil {
		return err
	}
	all, err := e.runtime.Inventory(ctx, e.cfg.Instance)
	if err != nil {
		return fmt.Errorf("list resources: %w", err)
	}
	var errs []error
	for _, f := range all {
		id := f.Labels[provisioner.LabelEnvironment]
		if id == "" || !e.labels.Verify(f.Labels) {
			continue // a network in reserve, or not ours
		}
		env, err := e.store.Get(ctx, id)
		switch {
		case fleet.CodeOf(err) == fleet.CodeNotFound:
			e.logger.Warn("found an orphan: labelled as ours, of no known environment; it is left alone", "kind", f.Kind, "name", f.Name)
		case err != nil:
			errs = append(errs, err)
		case env.State == fleet.Destroyed:
			e.logger.Warn("removing what outlived its environment", "kind", f.Kind, "name", f.Name, "environment", env.Name)
			errs = append(errs, e.runtime.Remove(ctx, f))
		}
	}
	return errors.Join(errs...)
}

func (e *Engine) reconcileNetworks(ctx context.Context) error {
	if e.networks == nil {
		return nil
	}
	envs, err := e.store.Live(ctx)
	if err != nil {
		return err
	}
	var held []string
	for _, env := range envs {
		if env.Network != "" {
			held = append(held, env.Network)
		}
	}
	return e.networks.Reconcile(ctx, held)
}
