package sweep

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/engine/target"
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

// Run compares now and then what exists with what is recorded, and keeps the networks in order. Each host is swept on its own, one
// sweep at a time: one that hangs holds up no other, nor what is swept on this machine.
func (w *Sweeper) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	again := func(what string, sweep func(context.Context) error, wait func() time.Duration) {
		w.cfg.Guard.KeepUp(ctx, &all, "the sweep of "+what, func() {
			bus.Loop(ctx, nil, func() time.Duration {
				if err := sweep(ctx); err != nil && ctx.Err() == nil {
					w.cfg.Logger.Warn("sweep failed; it is done again", "of", what, "error", err)
				}
				return wait()
			})
		})
	}
	for _, h := range w.cfg.Hosts.All() {
		served := false
		again("host "+h.Name, func(ctx context.Context) error { return w.SweepServed(ctx, h) }, func() time.Duration {
			before := served
			if served = w.cfg.Hosts.Serves(h.Name); served && before {
				return w.cfg.Every
			}
			return w.cfg.Every / sooner
		})
	}
	again("this machine", w.sweepHere, func() time.Duration { return w.cfg.Every })
}

// SweepServed sweeps a host if this daemon serves it.
func (w *Sweeper) SweepServed(ctx context.Context, h *target.Host) error {
	if !w.cfg.Hosts.Serves(h.Name) {
		return nil
	}
	// Before anything is removed: a database that is behind does not know what is somebody's.
	if err := w.cfg.Safety.LookBehind(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	return w.sweepHost(ctx, h)
}

// sweepHere sweeps what this daemon keeps on its machine, and notes how far the records are.
func (w *Sweeper) sweepHere(ctx context.Context) error {
	return errors.Join(w.cfg.Safety.LookAndMark(ctx), w.Local.Sweep(ctx))
}

// sweepHost looks at everything of ours on one host. Each part is done whatever becomes of the others.
func (w *Sweeper) sweepHost(ctx context.Context, h *target.Host) error {
	done, err := w.orphans.decide(ctx, h.Name)
	if err != nil {
		return err
	}
	defer done()
	// Rows before lists: what is ready by its row was there before the list was made, so it must be in it. And not before the
	// lock: what is adopted meanwhile must be among them, or its network would count as nobody's.
	envs, err := w.cfg.Rows.On(ctx, h.Name)
	if err != nil {
		return err
	}
	seen, err := w.Look(ctx, h, envs)
	if err != nil {
		return err
	}
	var errs []error
	for _, part := range []func() error{
		func() error { return w.removeOutlived(ctx, h, seen) },
		func() error { return w.removeOrphans(ctx, h, seen) },
		func() error { return w.findLost(ctx, h, envs, seen) },
		func() error { return w.cfg.Sandboxes.LookAtListed(ctx, h, envs, seen.idle) },
		func() error { return w.cfg.Certificates.Renew(ctx, h, envs) },
		func() error { return w.reconcileNetworks(ctx, h, envs, seen) },
		func() error { return w.keepMark(ctx, h, seen) },
	} {
		if !w.cfg.Hosts.Serves(h.Name) {
			// What was read is from before another daemon began to work there: what it has made since is not in it.
			return errors.Join(append(errs, provisioner.Errorf(provisioner.Cancelled, "sweep host", "another daemon may serve it by now"))...)
		}
		errs = append(errs, part())
	}
	return errors.Join(errs...)
}

// keepMark keeps the mark at an engine in line with what was listed, once for each list.
func (w *Sweeper) keepMark(ctx context.Context, h *target.Host, seen Diff) error {
	if seen.Marked {
		return nil
	}
	return w.cfg.Marks.Keep(ctx, h, seen.Stands, seen.Marks)
}

// removeOutlived removes what carries the labels of an environment that is gone: a create whose reply was
// lost may have landed after its environment was swept.
func (w *Sweeper) removeOutlived(ctx context.Context, h *target.Host, seen Diff) error {
	var errs []error
	for _, f := range seen.outlived {
		env := seen.rows[f.Labels[provisioner.LabelEnvironment]]
		w.cfg.Logger.Warn("removing what outlived its environment", "kind", f.Kind, "name", f.Name, "environment", env.Name)
		if err := h.Runtime.Remove(ctx, f.Ref, f.Environment()); err != nil {
			errs = append(errs, fmt.Errorf("remove %s %s: %w", f.Kind, f.Name, err))
			continue
		}
		w.orphans.noteRemoved(h, f.ID)
		ev := w.cfg.Journal.Event(&env, journal.Self, eventOrphanRemoved, "removed %s %s, which outlived its environment", f.Kind, f.Name)
		errs = append(errs, w.cfg.Store.AppendEvents(ctx, ev))
	}
	return errors.Join(errs...)
}

// reconcileNetworks tells the keeper which networks are held: by environments, and by sandboxes that nobody has decided on.
func (w *Sweeper) reconcileNetworks(ctx context.Context, h *target.Host, envs map[string]fleet.Environment, seen Diff) error {
	if h.Networks == nil {
		return nil
	}
	held := w.cfg.Reserved()
	for _, network := range seen.networks {
		held = append(held, provisioner.Attachment(network))
	}
	for _, env := range envs {
		if env.Network != "" {
			held = append(held, provisioner.Attachment(env.Network))
		}
	}
	return h.Networks.Reconcile(ctx, held)
}

// FindLost ends an environment whose sandbox was not found, once that is certain.
func (w *Sweeper) FindLost(ctx context.Context, h *target.Host, env fleet.Environment) error {
	return w.findLost(ctx, h, map[string]fleet.Environment{env.ID: env}, Diff{})
}

// findLost ends environments whose sandbox somebody else removed. One list may lag, so a second complete
// one must miss it too, and the sandbox itself must not be found by its id.
func (w *Sweeper) findLost(ctx context.Context, h *target.Host, envs map[string]fleet.Environment, seen Diff) error {
	var missing []fleet.Environment
	for _, env := range envs {
		if env.Ready() && env.SandboxID != "" && !seen.ids[env.SandboxID] {
			missing = append(missing, env)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	again, err := target.Listed(ctx, h, w.cfg.Instance, "")
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
		there, err := target.Exists(ctx, h, env.SandboxID)
		if err == nil && !there {
			err = w.recordLost(ctx, env)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// eventExpired is the event of a lease that ended.
const eventExpired = "lease.expired"

// endedSentence is why an environment ends whose lease bothy ended without a record.
func endedSentence(at time.Time) string {
	return fmt.Sprintf("its lease ended while the database could not be used: bothy removed its sandbox at %s", at.UTC().Format(time.RFC3339))
}

// goneAtEnd is why an environment ends whose sandbox was found to be gone after the end of its lease.
const goneAtEnd = "its lease is over, and its sandbox is gone already"

// lostSentence is why an environment ends whose sandbox is gone.
const lostSentence = "its sandbox was removed by somebody else"

// recordLost records that a sandbox is gone, and who it was that removed it.
func (w *Sweeper) recordLost(ctx context.Context, env fleet.Environment) error {
	now := w.cfg.Clock.Now()
	ended, byUs := w.cfg.Ended.EndedAt(env.ID)
	blamed := false
	_, err := w.cfg.Journal.Change(ctx, env.ID, store.Expect{}, func(row *fleet.Environment) (store.Writes, error) {
		if !row.Ready() || row.SandboxID != env.SandboxID {
			return store.Writes{}, nil
		}
		ledger.Gone(row, w.cfg.Evidence.LastSight(*row, now))
		switch {
		case row.State == fleet.Leased && byUs:
			reason := endedSentence(ended)
			journal.BeginDestroy(row, reason)
			return w.cfg.Journal.Recorded(row, eventExpired, "taking it away: "+reason), nil
		case row.State == fleet.Leased && row.Lease.Expired(now):
			// An earlier process of this daemon may have ended it by what it knew; that is not written down anywhere.
			journal.BeginDestroy(row, goneAtEnd)
			return w.cfg.Journal.Recorded(row, eventExpired, "taking it away: "+goneAtEnd), nil
		}
		if blamed = true; row.State == fleet.Warm {
			journal.BeginDestroy(row, lostSentence)
		} else {
			journal.Fail(row, &fleet.Failure{
				Code: fleet.CodeProvision, Sentence: lostSentence, At: now,
				Hint: "ask for another one: bothy up; find out who removed it on host " + row.Host,
			})
		}
		return w.cfg.Journal.Recorded(row, "environment.lost", lostSentence), nil
	})
	if err != nil {
		return fmt.Errorf("record that the sandbox of %s is gone: %w", env.Name, err)
	}
	if blamed {
		w.cfg.Logger.Warn("a sandbox was removed by somebody else", "environment", env.Name, "host", env.Host)
		w.cfg.Sandboxes.Befell(env, lostSentence)
	}
	w.cfg.Bus.Nudge(bus.Plan, bus.Work)
	return nil
}
