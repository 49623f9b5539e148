package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// sweepTimeout bounds the sweep of one host, so that one that hangs is looked at again.
const sweepTimeout = 5 * time.Minute

// sweepLoop compares now and then what exists with what is recorded, and keeps the networks in order.
func (e *Engine) sweepLoop(ctx context.Context) {
	loop(ctx, nil, func() time.Duration {
		if err := e.sweepOnce(ctx); err != nil && ctx.Err() == nil {
			e.logger.Warn("sweep failed; it is done again", "error", err)
		}
		return e.cfg.SweepEvery
	})
}

// sweepOnce sweeps every host that this daemon serves, and notes how far the records are.
func (e *Engine) sweepOnce(ctx context.Context) error {
	var hosts []*Host
	for _, name := range e.hosts.served(e.Now()) {
		hosts = append(hosts, e.hosts.byName[name])
	}
	safe, err := e.lookBehind(ctx)
	if err != nil {
		return err
	}
	errs := make([]error, len(hosts))
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
			defer cancel()
			if err := e.sweepHost(ctx, h); err != nil {
				errs[i] = fmt.Errorf("sweep host %s: %w", h.Name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(append(errs, e.saveMarks(ctx, safe))...)
}

// on gives the environments that stand on a host, by id.
func on(h *Host, envs []fleet.Environment) map[string]fleet.Environment {
	byID := map[string]fleet.Environment{}
	for _, env := range envs {
		if env.Host == h.Name {
			byID[env.ID] = env
		}
	}
	return byID
}

// sweepHost looks at everything of ours on one host. Each part is done whatever becomes of the others.
func (e *Engine) sweepHost(ctx context.Context, h *Host) error {
	defer e.orphans.decide(h.Name)()
	// Rows before lists: what is ready by its row was there before the list was made, so it must be in it. And not before the
	// lock: what is adopted meanwhile must be among them, or its network would count as nobody's.
	live, err := e.store.Live(ctx)
	if err != nil {
		return err
	}
	envs := on(h, live)
	seen, err := e.look(ctx, h, envs)
	if err != nil {
		return err
	}
	return errors.Join(
		e.removeOutlived(ctx, h, seen),
		e.removeOrphans(ctx, h, seen),
		e.findLost(ctx, h, envs, seen),
		e.measure(ctx, h, envs),
		e.reconcileNetworks(ctx, h, envs, seen),
	)
}

// removeOutlived removes what carries the labels of an environment that is gone: a create whose reply was
// lost may have landed after its environment was swept.
func (e *Engine) removeOutlived(ctx context.Context, h *Host, seen census) error {
	var errs []error
	for _, f := range seen.outlived {
		env := seen.rows[f.Labels[provisioner.LabelEnvironment]]
		e.logger.Warn("removing what outlived its environment", "kind", f.Kind, "name", f.Name, "environment", env.Name)
		if err := h.Runtime.Remove(ctx, f); err != nil {
			errs = append(errs, fmt.Errorf("remove %s %s: %w", f.Kind, f.Name, err))
			continue
		}
		ev := e.event(&env, actorSelf, eventOrphanRemoved, "removed %s %s, which outlived its environment", f.Kind, f.Name)
		errs = append(errs, e.store.AppendEvents(ctx, ev))
	}
	return errors.Join(errs...)
}

// reconcileNetworks tells the keeper which networks are held: by environments, and by sandboxes that nobody has decided on.
func (e *Engine) reconcileNetworks(ctx context.Context, h *Host, envs map[string]fleet.Environment, seen census) error {
	if h.Networks == nil {
		return nil
	}
	held := seen.networks
	for _, env := range envs {
		if env.Network != "" {
			held = append(held, env.Network)
		}
	}
	e.unwritten.Range(func(name, _ any) bool {
		held = append(held, name.(string))
		return true
	})
	return h.Networks.Reconcile(ctx, held)
}

// findLost ends environments whose sandbox somebody else removed. One list may lag, so a second complete
// one must miss it too, and the sandbox itself must not be found by its id.
func (e *Engine) findLost(ctx context.Context, h *Host, envs map[string]fleet.Environment, seen census) error {
	var missing []fleet.Environment
	for _, env := range envs {
		if ready(env) && env.SandboxID != "" && !seen.ids[env.SandboxID] {
			missing = append(missing, env)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	again, err := h.Runtime.Inventory(ctx, e.cfg.Instance)
	if err != nil {
		return fmt.Errorf("list resources again: %w", err)
	}
	listed := map[string]bool{}
	for _, f := range again {
		listed[f.ID] = true
	}
	var errs []error
	for _, env := range missing {
		if listed[env.SandboxID] {
			continue
		}
		there, err := exists(ctx, h, env.SandboxID)
		if err == nil && !there {
			err = e.recordLost(ctx, env)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// ready reports whether an environment is made and nobody works on it.
func ready(env fleet.Environment) bool {
	return (env.State == fleet.Warm || env.State == fleet.Leased) && env.Work.Action == fleet.None
}

// lostSentence is why an environment ends whose sandbox is gone.
const lostSentence = "its sandbox was removed by somebody else"

func (e *Engine) recordLost(ctx context.Context, env fleet.Environment) error {
	now := e.Now()
	_, err := e.change(ctx, env.ID, store.Expect{}, func(row *fleet.Environment) (store.Writes, error) {
		if !ready(*row) || row.SandboxID != env.SandboxID {
			return store.Writes{}, nil
		}
		if row.State == fleet.Warm {
			beginDestroy(row, lostSentence)
		} else {
			e.fail(row, &fleet.Failure{
				Code: fleet.CodeProvision, Sentence: lostSentence, At: now,
				Hint: "ask for another one: bothy up; find out who removed it on host " + row.Host,
			})
		}
		return e.recorded(row, "environment.lost", lostSentence), nil
	})
	if err != nil {
		return fmt.Errorf("record that the sandbox of %s is gone: %w", env.Name, err)
	}
	e.logger.Warn("a sandbox was removed by somebody else", "environment", env.Name, "host", env.Host)
	nudge(e.planNudge)
	nudge(e.workNudge)
	return nil
}
