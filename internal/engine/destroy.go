package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/receipt"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// destroy takes an environment away: Terraform, then by label, then re-reads
// that find nothing. It is tried until it succeeds; the row stays visible until then.
func (e *Engine) destroy(ctx context.Context, env fleet.Environment) {
	tryCtx, cancel := context.WithTimeout(ctx, e.cfg.DestroyTimeout)
	defer cancel()
	log := e.newProgress(ctx, env)
	if env.Work.Attempts == 0 && env.SandboxID != "" {
		e.keepLogs(tryCtx, env)
	}
	checks, err := e.takeAway(tryCtx, env, log)
	log.close()
	var p proof
	if err == nil {
		p, err = e.proven(tryCtx, env, checks)
	}

	switch {
	case err == nil:
		e.recordDestroyed(ctx, env, p)
		// Afterwards: it is the keeper's, not the environment's, and nobody should have to wait for it.
		e.releaseNetwork(tryCtx, env)
	case ctx.Err() != nil:
		e.yield(ctx, env, provisioner.Errorf(provisioner.Cancelled, "destroy environment", "interrupted: %w", context.Cause(ctx)))
	default:
		e.logger.Warn("destroy failed; it is tried again", "environment", env.Name, "id", env.ID, "attempt", env.Work.Attempts+1, "error", err)
		e.yield(ctx, env, err)
	}
}

const (
	// driverTries is how many tries to destroy wait for the driver to succeed. After them the sweep
	// by label alone must do: everything a blueprint can make carries our labels.
	driverTries = 2
	// driverAwayTries is the same for a driver that is away, as Terraform without its provider: a minute and a half, after
	// which the engine, which answers, need not wait for it.
	driverAwayTries = 6
)

// goesWithout reports whether the driver has failed often enough to take an environment away without it.
func (e *Engine) goesWithout(env fleet.Environment, failed error) bool {
	if provisioner.IsUnavailable(failed) {
		return e.tries.foundAway(env.ID) >= driverAwayTries
	}
	return env.Work.Attempts >= driverTries
}

// clean removes everything that an earlier try to create left, and returns nil only when nothing was found any more.
func (e *Engine) clean(ctx context.Context, env fleet.Environment, log *progress) error {
	_, err := e.takeAway(ctx, env, log)
	return err
}

// takeAway removes everything of an environment and gives the checks that found nothing of it any more.
func (e *Engine) takeAway(ctx context.Context, env fleet.Environment, log *progress) ([]receipt.Check, error) {
	h, err := e.host(env.Host)
	if err != nil {
		return nil, err
	}
	there, err := e.inventoryOf(ctx, h, env)
	if err != nil {
		return nil, err
	}
	if err := e.noteSeen(ctx, env, there); err != nil {
		return nil, err
	}
	if err := e.driverDestroy(ctx, h, env, log); err != nil {
		if ctx.Err() != nil || !e.goesWithout(env, err) {
			return nil, err
		}
		log.step("sweep", "Terraform could not destroy it (%s); it is removed by label instead", provisioner.Sentence(err))
	}
	return e.sweepEnvironment(ctx, h, env, log)
}

// releaseTimeout is more than a keeper waits for the last container to leave.
const releaseTimeout = 20 * time.Second

// releaseNetwork gives the network of what is gone back to its keeper. Should that fail, the next sweep
// sees that nobody holds it, and removes it.
func (e *Engine) releaseNetwork(ctx context.Context, env fleet.Environment) {
	h, err := e.host(env.Host)
	if err != nil || h.Networks == nil || env.Network == "" {
		return
	}
	// The work is over, and with it the row's lease: its end must not cut this off.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if err := h.Networks.Release(ctx, env.Network); err != nil {
		e.logger.Warn("releasing a network failed; it is removed later", "network", env.Network, "error", err)
	}
}

func (e *Engine) driverDestroy(ctx context.Context, h *Host, env fleet.Environment, log *progress) error {
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
	return h.Driver.Destroy(ctx, spec, state, log.observe)
}

const (
	// sweepRounds bounds how often one try removes and re-reads; what is still there then waits for the next try.
	sweepRounds = 5
	// emptyLooks is how many looks in a row must find nothing: one list alone may lag, or be empty by mistake.
	emptyLooks = 2
	// lookedAt is what a look looks at, as the receipt tells it.
	lookedAt = "the complete list of what carries its labels, and its sandbox by id"
)

// sweepEnvironment removes by label until complete re-reads find nothing.
func (e *Engine) sweepEnvironment(ctx context.Context, h *Host, env fleet.Environment, log *progress) ([]receipt.Check, error) {
	var checks []receipt.Check
	for round := 1; ; {
		left, err := e.inventoryOf(ctx, h, env)
		if err != nil {
			return nil, err
		}
		if len(left) == 0 {
			if checks = append(checks, receipt.Check{At: e.Now(), What: lookedAt}); len(checks) == emptyLooks {
				return checks, nil
			}
			continue
		}
		checks = nil
		if round > sweepRounds {
			return nil, provisioner.Errorf(provisioner.Transient, "sweep environment", "%d resources are still there, the first is %s %s", len(left), left[0].Kind, left[0].Name)
		}
		round++
		if err := e.noteSeen(ctx, env, left); err != nil {
			return nil, err
		}
		for _, f := range left {
			log.step("sweep", "removing %s %s", f.Kind, f.Name)
			if err := h.Runtime.Remove(ctx, f); err != nil {
				return nil, fmt.Errorf("remove %s %s: %w", f.Kind, f.Name, err)
			}
		}
	}
}

// inventoryOf finds what carries the labels of one environment, containers first: networks and volumes
// cannot go before them. A sandbox that a list does not show is looked for by its id.
func (e *Engine) inventoryOf(ctx context.Context, h *Host, env fleet.Environment) ([]provisioner.Found, error) {
	all, err := h.Runtime.Inventory(ctx, e.cfg.Instance)
	if err != nil {
		return nil, fmt.Errorf("list resources: %w", err)
	}
	var mine []provisioner.Found
	for _, f := range all {
		if f.Labels[provisioner.LabelEnvironment] == env.ID && e.labels.Verify(f.Labels) {
			mine = append(mine, f)
		}
	}
	slices.SortFunc(mine, byRemovalOrder)
	if env.SandboxID == "" || slices.ContainsFunc(mine, func(f provisioner.Found) bool { return f.ID == env.SandboxID }) {
		return mine, nil
	}
	there, err := exists(ctx, h, env.SandboxID)
	if err != nil {
		return nil, err
	}
	if there {
		owner := provisioner.Owner{Instance: e.cfg.Instance, Environment: env.ID}
		mine = slices.Insert(mine, 0, provisioner.Found{Kind: kindContainer, ID: env.SandboxID, Name: owner.ResourceName()})
	}
	return mine, nil
}

// exists looks for a sandbox by its id.
func exists(ctx context.Context, h *Host, sandbox string) (bool, error) {
	_, err := h.Runtime.Inspect(ctx, sandbox)
	if provisioner.Is(err, provisioner.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for sandbox: %w", err)
	}
	return true, nil
}

const kindContainer = "container"

var removalOrder = []string{kindContainer, "network", "volume"}

func byRemovalOrder(a, b provisioner.Found) int {
	return cmp.Or(cmp.Compare(slices.Index(removalOrder, a.Kind), slices.Index(removalOrder, b.Kind)), cmp.Compare(a.ID, b.ID))
}

// recordDestroyed ends an environment: its last entry and its receipt are written together with the state.
func (e *Engine) recordDestroyed(ctx context.Context, env fleet.Environment, p proof) {
	now := e.Now()
	e.finish(ctx, env, func(row *fleet.Environment) (store.Writes, error) {
		before := *row
		row.State, row.DestroyedAt = fleet.Destroyed, now
		if !row.BilledFrom.IsZero() {
			row.BilledUntil = now
		}
		row.Network, row.SandboxID, row.Paused = "", "", false
		row.Work = fleet.Work{Generation: row.Work.Generation}
		final, _ := ledger.Book(before, *row, now)
		return store.Writes{
			Events:  []fleet.Event{e.event(row, actorSelf, "environment.destroyed", "gone: nothing with its labels is left")},
			Receipt: e.sign(p.body(e.receiptBody(*row), final)),
		}, nil
	})
	e.noteGiven() // the receipt
	if err := e.store.DropStates(context.WithoutCancel(ctx), env.ID); err != nil {
		e.logger.Warn("dropping states failed", "environment", env.Name, "error", err)
	}
}

// keptLogLines is how many lines of a sandbox's own output outlive it.
const keptLogLines = 2000

// keepLogs copies the sandbox's own output, which goes with it, into the store. Best effort: a sandbox that cannot be read must still go.
func (e *Engine) keepLogs(ctx context.Context, env fleet.Environment) {
	h, err := e.host(env.Host)
	if err != nil {
		return // whoever can reach it does this again
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var lines []fleet.LogLine
	err = h.Runtime.Logs(ctx, env.SandboxID, provisioner.LogsRequest{Tail: keptLogLines}, func(l provisioner.LogLine) error {
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
