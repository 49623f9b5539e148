package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// destroy takes an environment away: Terraform, then by label, then a re-read
// that finds nothing. It is tried until it succeeds; the row stays visible until then.
func (e *Engine) destroy(ctx context.Context, env fleet.Environment) {
	tryCtx, cancel := context.WithTimeout(ctx, e.cfg.DestroyTimeout)
	defer cancel()
	log := e.newProgress(ctx, env)
	if env.Work.Attempts == 0 && env.SandboxID != "" {
		e.keepLogs(tryCtx, env)
	}
	err := e.clean(tryCtx, env, log)
	log.close()

	switch {
	case err == nil:
		e.recordDestroyed(ctx, env)
		// Afterwards: it is the keeper's, not the environment's, and nobody should have to wait for it.
		e.releaseNetwork(tryCtx, env)
	case ctx.Err() != nil:
		e.yield(ctx, env, provisioner.Errorf(provisioner.Cancelled, "destroy environment", "interrupted: %w", context.Cause(ctx)))
	default:
		e.logger.Warn("destroy failed; it is tried again", "environment", env.Name, "id", env.ID, "attempt", env.Work.Attempts+1, "error", err)
		e.yield(ctx, env, err)
	}
}

// driverTries is how many tries to destroy wait for the driver to succeed.
// After them the sweep by label alone must do: everything a blueprint can make carries our labels.
const driverTries = 2

// clean removes everything of an environment and returns nil only after a
// re-read that found nothing.
func (e *Engine) clean(ctx context.Context, env fleet.Environment, log *progress) error {
	if err := e.billFound(ctx, env); err != nil {
		return err
	}
	if err := e.driverDestroy(ctx, env, log); err != nil {
		if ctx.Err() != nil || provisioner.IsUnavailable(err) || env.Work.Attempts < driverTries {
			return err
		}
		log.step("sweep", "Terraform could not destroy it (%s); it is removed by label instead", provisioner.Sentence(err))
	}
	return e.sweepEnvironment(ctx, env, log)
}

// releaseNetwork gives the network of what is gone back to its keeper. Should that fail, the next sweep
// sees that nobody holds it, and removes it.
func (e *Engine) releaseNetwork(ctx context.Context, env fleet.Environment) {
	if e.networks == nil || env.Network == "" {
		return
	}
	if err := e.networks.Release(ctx, env.Network); err != nil {
		e.logger.Warn("releasing a network failed; it is removed later", "network", env.Network, "error", err)
	}
}

// billFound begins the bill of an environment whose create was cut off before
// its first resource was written down, at the time the provider says.
func (e *Engine) billFound(ctx context.Context, env fleet.Environment) error {
	if !env.BilledFrom.IsZero() {
		return nil
	}
	found, err := e.inventoryOf(ctx, env.ID)
	if err != nil || len(found) == 0 {
		return err
	}
	oldest := slices.MinFunc(found, func(a, b provisioner.Found) int { return a.CreatedAt.Compare(b.CreatedAt) }).CreatedAt
	_, err = e.change(ctx, env.ID, store.Expect{Generation: env.Work.Generation}, func(row *fleet.Environment) (store.Writes, error) {
		if row.BilledFrom.IsZero() {
			row.BilledFrom = oldest.UTC().Truncate(time.Microsecond)
		}
		return store.Writes{}, nil
	})
	if err != nil {
		return fmt.Errorf("record first resource: %w", err)
	}
	return nil
}

func (e *Engine) driverDestroy(ctx context.Context, env fleet.Environment, log *progress) error {
	spec, err := e.spec(env)
	if err != nil {
		return err
	}
	sealed, _, err := e.store.LatestState(ctx, env.ID)
	if err != nil && fleet.CodeOf(err) != fleet.CodeNotFound {
		return fmt.Errorf("read state: %w", err)
	}
	var state []byte
	if sealed != nil {
		if state, err = e.sealer.open(env.ID, sealed); err != nil {
			// The labels still find everything; a state that cannot be read is no reason to keep it.
			log.step("sweep", "%v; it is removed by label instead", err)
			return nil
		}
	}
	return e.driver.Destroy(ctx, spec, state, log.observe)
}

// sweepRounds bounds how often one try re-reads; what is still there then waits for the next try.
const sweepRounds = 5

// sweepEnvironment removes by label until a complete re-read finds nothing.
func (e *Engine) sweepEnvironment(ctx context.Context, env fleet.Environment, log *progress) error {
	for round := 1; ; round++ {
		left, err := e.inventoryOf(ctx, env.ID)
		if err != nil {
			return err
		}
		if len(left) == 0 {
			return nil
		}
		if round > sweepRounds {
			return provisioner.Errorf(provisioner.Transient, "sweep environment", "%d resources are still there, the first is %s %s", len(left), left[0].Kind, left[0].Name)
		}
		for _, f := range left {
			log.step("sweep", "removing %s %s", f.Kind, f.Name)
			if err := e.runtime.Remove(ctx, f); err != nil {
				return fmt.Errorf("remove %s %s: %w", f.Kind, f.Name, err)
			}
		}
	}
}

// inventoryOf finds what carries the labels of one environment, containers
// first: networks and volumes cannot go before them.
func (e *Engine) inventoryOf(ctx context.Context, environmentID string) ([]provisioner.Found, error) {
	all, err := e.runtime.Inventory(ctx, e.cfg.Instance)
	if err != nil {
		return nil, fmt.Errorf("list resources: %w", err)
	}
	var mine []provisioner.Found
	for _, f := range all {
		if f.Labels[provisioner.LabelEnvironment] == environmentID && e.labels.Verify(f.Labels) {
			mine = append(mine, f)
		}
	}
	slices.SortFunc(mine, byRemovalOrder)
	return mine, nil
}

var removalOrder = []string{"container", "network", "volume"}

func byRemovalOrder(a, b provisioner.Found) int {
	return cmp.Or(cmp.Compare(slices.Index(removalOrder, a.Kind), slices.Index(removalOrder, b.Kind)), cmp.Compare(a.ID, b.ID))
}

func (e *Engine) recordDestroyed(ctx context.Context, env fleet.Environment) {
	now := e.Now()
	e.finish(ctx, env, func(row *fleet.Environment) (store.Writes, error) {
		row.State, row.DestroyedAt = fleet.Destroyed, now
		if !row.BilledFrom.IsZero() {
			row.BilledUntil = now
		}
		row.Network, row.SandboxID = "", ""
		row.Work = fleet.Work{Generation: row.Work.Generation}
		return store.Writes{
			Events:  []fleet.Event{e.event(row, actorSelf, "environment.destroyed", "gone: nothing with its labels is left")},
			Entries: settle(row, now),
		}, nil
	})
	if err := e.store.DropStates(context.WithoutCancel(ctx), env.ID); err != nil {
		e.logger.Warn("dropping states failed", "environment", env.Name, "error", err)
	}
}

// keptLogLines is how many lines of a sandbox's own output outlive it.
const keptLogLines = 2000

// keepLogs copies the sandbox's own output, which goes with it, into the store. Best effort: a sandbox that cannot be read must still go.
func (e *Engine) keepLogs(ctx context.Context, env fleet.Environment) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var lines []fleet.LogLine
	err := e.runtime.Logs(ctx, env.SandboxID, provisioner.LogsRequest{Tail: keptLogLines}, func(l provisioner.LogLine) error {
		lines = append(lines, fleet.LogLine{At: l.At, Source: "sandbox", Text: l.Text})
		return nil
	})
	if len(lines) > 0 {
		err = errors.Join(err, e.store.AppendLog(ctx, env.ID, lines))
	}
	if err != nil && !provisioner.Is(err, provisioner.NotFound) {
		e.logger.Warn("keeping a sandbox's output failed", "environment", env.Name, "error", err)
	}
}
