package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
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
	e.overdue.see(env, e.Now())
	log := e.newProgress(ctx, env)
	// Asked before the looks that prove it: what comes after them would not be seen.
	coming := e.nothingComes(tryCtx, env)
	gone, err := e.takeAway(tryCtx, env, log, env.Work.Attempts == 0 && env.SandboxID != "")
	log.close()
	if err == nil {
		err = coming
	}
	var p proof
	if err == nil {
		p, err = e.proven(tryCtx, env, gone)
	}

	switch {
	case err == nil:
		e.recordDestroyed(ctx, env, p)
		e.overdue.gone(env.ID)
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
	// which the engine, which answers, need not wait for it. driverAwayFor is that time, kept in the row, as a process that
	// was started anew has counted no tries.
	driverAwayTries = 6
	driverAwayFor   = 85 * time.Second
)

// goesWithout reports whether the driver has failed often enough to take an environment away without it.
func (e *Engine) goesWithout(env fleet.Environment, failed error) bool {
	if errors.Is(failed, provisioner.ErrUnprepared) {
		return true // and would not be the next time either, or only when the lease is long over
	}
	if provisioner.IsUnavailable(failed) {
		over := env.Work.Deadline
		return e.tries.foundAway(env.ID) >= driverAwayTries || !over.IsZero() && !e.Now().Before(over)
	}
	return env.Work.Attempts >= driverTries
}

// clean removes everything that an earlier try to create left, and gives no error only when nothing was found any more.
func (e *Engine) clean(ctx context.Context, env fleet.Environment, log *progress) (absence, error) {
	// What a create of before still brings has the name of what is made next: the engine refuses the later one.
	return e.takeAway(ctx, env, log, false)
}

// absence is the proof that nothing of an environment exists any more.
type absence struct {
	// checks are the looks that found nothing, in order.
	checks []receipt.Check
	// removed says that something was found before them, billed that the bill had ended before that was.
	removed, billed bool
}

// takeAway removes everything of an environment and gives the checks that found nothing of it any more. When it does not
// come to its end, as what is inside keeps the engine from it, endBlocked sees to that.
func (e *Engine) takeAway(ctx context.Context, env fleet.Environment, log *progress, withLogs bool) (gone absence, err error) {
	h, err := e.host(env.Host)
	if err != nil {
		return gone, err
	}
	driverCtx, endDriver := context.WithCancelCause(ctx)
	watchCtx, unwatch := context.WithCancel(ctx)
	var watch sync.WaitGroup
	e.keepUp(watchCtx, &watch, "the watch over a destroy", func() { e.endBlocked(watchCtx, driverCtx, env, endDriver) })
	defer func() {
		unwatch()
		watch.Wait()
		endDriver(nil)
	}()
	var logs sync.WaitGroup
	if withLogs {
		e.aside(&logs, "the keeping of a sandbox's output", func() { e.keepLogs(ctx, env) })
	}
	there, err := e.inventoryOf(ctx, h, env)
	logs.Wait() // it takes what is removed next
	if err != nil {
		return gone, err
	}
	// What cannot be read any more does not keep a sandbox: it is taken away first, and proven once the database is mended.
	billed, unread := e.noteSeen(ctx, env, there)
	if unread != nil && !damaged(unread) {
		return gone, unread
	}
	if err := e.driverDestroy(driverCtx, h, env, log); err != nil {
		if kept := context.Cause(driverCtx); ctx.Err() == nil && errors.Is(kept, errUnanswered) {
			err = provisioner.Errorf(provisioner.Transient, "destroy environment", "%w", kept)
		} else if ctx.Err() != nil || !e.goesWithout(env, err) {
			return gone, err
		}
		log.step("sweep", "Terraform could not destroy it (%s); it is removed by label instead", provisioner.Sentence(err))
	}
	gone, err = e.sweepEnvironment(ctx, h, env, log)
	gone.removed, gone.billed = gone.removed || len(there) > 0, billed
	if err == nil {
		err = unread
	}
	return gone, err
}

// releaseTimeout is more than a keeper waits for the last sandbox to leave.
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
	if err := h.Networks.Release(ctx, provisioner.Attachment(env.Network)); err != nil {
		e.logger.Warn("releasing a network failed; it is removed later", "network", env.Network, "error", err)
	}
}

func (e *Engine) driverDestroy(ctx context.Context, h *Host, env fleet.Environment, log *progress) error {
	spec, err := e.spec(env)
	if err != nil {
		return err
	}
	sealed, _, err := e.store.LatestState(ctx, env.ID)
	if err != nil && fleet.CodeOf(err) != fleet.CodeNotFound && !damaged(err) {
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
	if h.Broker != nil {
		door, err := e.openDoor(ctx, h, env, &spec, false)
		if err != nil {
			return err
		}
		defer door.Close()
	}
	return h.Driver.Destroy(ctx, spec, state, log.observe)
}

// nothingComes gives an error while something of an environment may still be made by a request that is on its way.
func (e *Engine) nothingComes(ctx context.Context, env fleet.Environment) error {
	h, err := e.host(env.Host)
	if err != nil {
		return err
	}
	return e.allAnswered(ctx, h, env)
}

const (
	// sweepRounds bounds how often one try removes and re-reads; what is still there then waits for the next try.
	sweepRounds = 5
	// emptyLooks is how many looks in a row must find nothing: one list alone may lag, or be empty by mistake.
	emptyLooks = 2
	// lookedAt is what a look looks at, as the receipt tells it.
	lookedAt = "the complete list of what carries its labels, and everything on its record by id"
)

// sweepEnvironment removes by label until complete re-reads find nothing.
func (e *Engine) sweepEnvironment(ctx context.Context, h *Host, env fleet.Environment, log *progress) (gone absence, err error) {
	for round, look := 1, 1; ; look++ {
		if look > 1 {
			if err := e.outwaitLists(ctx, h); err != nil {
				return gone, err
			}
		}
		left, err := e.inventoryOf(ctx, h, env)
		if err != nil {
			return gone, err
		}
		if len(left) == 0 {
			if gone.checks = append(gone.checks, receipt.Check{At: e.Now(), What: lookedAt}); len(gone.checks) == emptyLooks {
				return gone, nil
			}
			continue
		}
		gone = absence{removed: true}
		if round > sweepRounds {
			return gone, provisioner.Errorf(provisioner.Transient, "sweep environment", "%d resources are still there, the first is %s %s", len(left), left[0].Kind, left[0].Name)
		}
		round++
		if _, err := e.noteSeen(ctx, env, left); err != nil && !damaged(err) {
			return gone, err
		}
		for _, f := range left {
			if t := e.running.trustOf(env.ID); t != nil && !t.holds() {
				// What is listed may be another daemon's work by now.
				return gone, provisioner.Errorf(provisioner.Cancelled, "sweep environment", "%w", errUntrusted)
			}
			log.step("sweep", "removing %s %s", f.Kind, f.Name)
			if err := h.Runtime.Remove(ctx, f.Ref, f.Environment()); err != nil {
				return gone, fmt.Errorf("remove %s %s: %w", f.Kind, f.Name, err)
			}
		}
	}
}

// outwaitLists waits for as long as a host's lists may show what was before: two of them prove nothing sooner than that.
func (e *Engine) outwaitLists(ctx context.Context, h *Host) error {
	lag := h.Runtime.Capabilities().ListLag
	if lag == 0 || waitFor(ctx, nil, lag) == nil {
		return nil
	}
	return provisioner.Errorf(provisioner.Cancelled, "sweep environment", "interrupted: %w", context.Cause(ctx))
}

// inventoryOf finds what carries the labels of one environment, in the order in which it is to go. A sandbox that a list does not show is looked for by its id.
func (e *Engine) inventoryOf(ctx context.Context, h *Host, env fleet.Environment) ([]provisioner.Found, error) {
	all, err := e.listed(ctx, h, env.ID)
	if err != nil {
		return nil, err
	}
	var mine []provisioner.Found
	for _, f := range all {
		if f.Labels[provisioner.LabelEnvironment] == env.ID && e.labels.Verify(f.Labels) {
			mine = append(mine, f)
		}
	}
	more, err := e.recordedThere(ctx, h, env, mine)
	if err != nil {
		return nil, err
	}
	mine = append(mine, more...)
	slices.SortFunc(mine, h.byRemovalOrder)
	if env.SandboxID == "" || slices.ContainsFunc(mine, func(f provisioner.Found) bool { return f.ID == env.SandboxID }) {
		return mine, nil
	}
	there, err := exists(ctx, h, env.SandboxID)
	if err != nil {
		return nil, err
	}
	if there {
		owner := provisioner.Owner{Instance: e.cfg.Instance, Environment: env.ID}
		mine = slices.Insert(mine, 0, e.byRecord(env, h.sandboxKind(), env.SandboxID, owner.ResourceName()))
	}
	return mine, nil
}

// byRecord is a resource of an environment that was looked for by its id. A runtime removes what it is told whose it is.
func (e *Engine) byRecord(env fleet.Environment, kind, id, name string) provisioner.Found {
	return provisioner.Found{
		Ref:    provisioner.Ref{Kind: kind, ID: id, Name: name},
		Labels: map[string]string{provisioner.LabelInstance: e.cfg.Instance, provisioner.LabelEnvironment: env.ID},
	}
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

// listed gives everything on a host with our labels, or all of one environment's.
func (e *Engine) listed(ctx context.Context, h *Host, environment string) ([]provisioner.Found, error) {
	all, err := provisioner.ListAll(ctx, h.Runtime, provisioner.Selector{Instance: e.cfg.Instance, Environment: environment})
	if err != nil {
		return nil, fmt.Errorf("list resources: %w", err)
	}
	return all, nil
}

// sandboxKind is the kind of a host's sandboxes.
func (h *Host) sandboxKind() string { return h.Runtime.Capabilities().SandboxKind }

// byRemovalOrder is the order in which a host's provider lets resources go.
func (h *Host) byRemovalOrder(a, b provisioner.Found) int {
	return h.Runtime.RemovalOrder(a.Ref, b.Ref)
}

// recordDestroyed ends an environment: its last entry and its receipt are written together with the state.
func (e *Engine) recordDestroyed(ctx context.Context, env fleet.Environment, p proof) {
	now := e.Now()
	e.finish(ctx, env, func(row *fleet.Environment) (store.Writes, error) {
		before := *row
		row.State, row.DestroyedAt = fleet.Destroyed, now
		e.billGone(row, p.absence, now)
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

// Of a sandbox's own output the last keptLogLines lines outlive it, each line up to keptLineBytes, and keptLogBytes in all.
const (
	keptLogLines  = 2000
	keptLineBytes = 4 << 10
	keptLogBytes  = 256 << 10
)

// tail keeps the end of a log, within the bounds above.
type tail struct {
	lines []fleet.LogLine
	bytes int
	// cut and dropped are the bytes and the lines that were left out at the beginning.
	cut, dropped int
}

// add keeps a line, and says at its end how much of it was cut.
func (t *tail) add(l fleet.LogLine) {
	if over := len(l.Text) - keptLineBytes; over > 0 {
		l.Text = strings.ToValidUTF8(l.Text[:keptLineBytes], "") + fmt.Sprintf(" ... %d more bytes were cut", over)
	}
	t.lines = append(t.lines, l)
	t.bytes += len(l.Text)
	for t.bytes > keptLogBytes || len(t.lines) > keptLogLines {
		t.bytes -= len(t.lines[0].Text)
		t.cut += len(t.lines[0].Text)
		t.dropped++
		t.lines[0] = fleet.LogLine{} // not to be held by the slice
		t.lines = t.lines[1:]
	}
}

// kept gives the lines, after one that says what was left out.
func (t *tail) kept() []fleet.LogLine {
	if t.dropped == 0 {
		return t.lines
	}
	first := fleet.LogLine{Source: "sandbox", Text: fmt.Sprintf("... %d more bytes in %d earlier lines were cut", t.cut, t.dropped)}
	if len(t.lines) > 0 {
		first.At = t.lines[0].At
	}
	return append([]fleet.LogLine{first}, t.lines...)
}

// keepLogs copies the sandbox's own output, which goes with it, into the store. Best effort: a sandbox that cannot be read must still go.
func (e *Engine) keepLogs(ctx context.Context, env fleet.Environment) {
	h, err := e.host(env.Host)
	if err != nil {
		return // whoever can reach it does this again
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var end tail
	err = h.Runtime.Logs(ctx, env.SandboxID, provisioner.LogsRequest{Tail: keptLogLines}, func(l provisioner.LogLine) error {
		end.add(fleet.LogLine{At: l.At, Source: "sandbox", Text: l.Text})
		return nil
	})
	if lines := end.kept(); len(lines) > 0 {
		err = errors.Join(err, e.store.AppendLog(ctx, env.ID, lines))
	}
	if err != nil && !provisioner.Is(err, provisioner.NotFound) {
		e.logger.Warn("keeping a sandbox's output failed", "environment", env.Name, "error", err)
	}
}
