package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// sweepTimeout bounds the sweep of one host, so that one that hangs is looked at again.
const sweepTimeout = 5 * time.Minute

// sooner is the part of the usual time after which a host is swept that this daemon does not serve yet, or has swept once since it
// does: what nobody holds there goes at the second sweep that finds it so.
const sooner = 6

// sweepLoops compare now and then what exists with what is recorded, and keep the networks in order. Each host is swept on its own, one
// sweep at a time: one that hangs holds up no other, nor what is swept on this machine.
func (e *Engine) sweepLoops(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	again := func(what string, sweep func(context.Context) error, wait func() time.Duration) {
		e.keepUp(ctx, &all, "the sweep of "+what, func() {
			loop(ctx, nil, func() time.Duration {
				if err := sweep(ctx); err != nil && ctx.Err() == nil {
					e.logger.Warn("sweep failed; it is done again", "of", what, "error", err)
				}
				return wait()
			})
		})
	}
	for _, h := range e.hosts.all() {
		served := false
		again("host "+h.Name, func(ctx context.Context) error { return e.sweepServed(ctx, h) }, func() time.Duration {
			before := served
			if served = e.serves(h.Name); served && before {
				return e.cfg.SweepEvery
			}
			return e.cfg.SweepEvery / sooner
		})
	}
	again("this machine", e.sweepHere, func() time.Duration { return e.cfg.SweepEvery })
}

// sweepServed sweeps a host if this daemon serves it.
func (e *Engine) sweepServed(ctx context.Context, h *Host) error {
	if !e.serves(h.Name) {
		return nil
	}
	// Before anything is removed: a database that is behind does not know what is somebody's.
	if _, err := e.lookBehind(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	return e.sweepHost(ctx, h)
}

// sweepHere sweeps what this daemon keeps on its machine, and notes how far the records are.
func (e *Engine) sweepHere(ctx context.Context) error {
	_, err := e.lookAndMark(ctx)
	return errors.Join(err, e.sweepLocal(ctx))
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
	done, err := e.orphans.decide(ctx, h.Name)
	if err != nil {
		return err
	}
	defer done()
	// Rows before lists: what is ready by its row was there before the list was made, so it must be in it. And not before the
	// lock: what is adopted meanwhile must be among them, or its network would count as nobody's.
	envs, err := e.rows.on(ctx, h)
	if err != nil {
		return err
	}
	seen, err := e.look(ctx, h, envs)
	if err != nil {
		return err
	}
	var errs []error
	for _, part := range []func() error{
		func() error { return e.removeOutlived(ctx, h, seen) },
		func() error { return e.removeOrphans(ctx, h, seen) },
		func() error { return e.findLost(ctx, h, envs, seen) },
		func() error { return e.noticeListed(ctx, h, envs, seen) },
		func() error { return e.reconcileNetworks(ctx, h, envs, seen) },
		func() error { return e.reconcileMark(ctx, h, seen) },
	} {
		if !e.serves(h.Name) {
			// What was read is from before another daemon began to work there: what it has made since is not in it.
			return errors.Join(append(errs, provisioner.Errorf(provisioner.Cancelled, "sweep host", "another daemon may serve it by now"))...)
		}
		errs = append(errs, part())
	}
	return errors.Join(errs...)
}

// removeOutlived removes what carries the labels of an environment that is gone: a create whose reply was
// lost may have landed after its environment was swept.
func (e *Engine) removeOutlived(ctx context.Context, h *Host, seen census) error {
	var errs []error
	for _, f := range seen.outlived {
		env := seen.rows[f.Labels[provisioner.LabelEnvironment]]
		e.logger.Warn("removing what outlived its environment", "kind", f.Kind, "name", f.Name, "environment", env.Name)
		if err := h.Runtime.Remove(ctx, f.Ref, f.Environment()); err != nil {
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
	var held []provisioner.Attachment
	for _, network := range seen.networks {
		held = append(held, provisioner.Attachment(network))
	}
	for _, env := range envs {
		if env.Network != "" {
			held = append(held, provisioner.Attachment(env.Network))
		}
	}
	e.unwritten.Range(func(at, _ any) bool {
		held = append(held, at.(provisioner.Attachment))
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
	again, err := e.listed(ctx, h, "")
	if err != nil {
		return err
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

// recordLost records that a sandbox is gone, and who it was that removed it.
func (e *Engine) recordLost(ctx context.Context, env fleet.Environment) error {
	now := e.Now()
	ended, byUs := e.storeHealth.endedAt(env.ID)
	blamed := false
	_, err := e.change(ctx, env.ID, store.Expect{}, func(row *fleet.Environment) (store.Writes, error) {
		if !ready(*row) || row.SandboxID != env.SandboxID {
			return store.Writes{}, nil
		}
		ledger.Gone(row, e.lastSight(*row, now))
		switch {
		case row.State == fleet.Leased && byUs:
			reason := endedSentence(ended)
			beginDestroy(row, reason)
			return e.recorded(row, eventExpired, "taking it away: "+reason), nil
		case row.State == fleet.Leased && row.Lease.Expired(now):
			// An earlier process of this daemon may have ended it by what it knew; that is not written down anywhere.
			beginDestroy(row, goneAtEnd)
			return e.recorded(row, eventExpired, "taking it away: "+goneAtEnd), nil
		}
		if blamed = true; row.State == fleet.Warm {
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
	if blamed {
		e.logger.Warn("a sandbox was removed by somebody else", "environment", env.Name, "host", env.Host)
		e.mishaps.note(mishap{at: now, name: env.Name, host: env.Host, what: lostSentence})
	}
	nudge(e.planNudge)
	nudge(e.workNudge)
	return nil
}
