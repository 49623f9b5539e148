package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/evidence"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/receipt"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// destroy takes an environment away: Terraform, then by label, then re-reads
// that find nothing. It is tried until it succeeds; the row stays visible until then.
func (r remover) destroy(ctx context.Context, env fleet.Environment) {
	tryCtx, cancel := context.WithTimeout(ctx, r.cfg.DestroyTimeout)
	defer cancel()
	r.overdue.see(env, r.clock.Now())
	log := r.newProgress(ctx, env)
	// Asked before the looks that prove it: what comes after them would not be seen.
	coming := r.nothingComes(tryCtx, env)
	gone, err := r.takeAway(tryCtx, env, log, env.Work.Attempts == 0 && env.SandboxID != "")
	log.close()
	if err == nil {
		err = coming
	}
	var p evidence.Proof
	if err == nil {
		p, err = r.evidence.Proven(tryCtx, env, r.kindOfSandbox(env), gone)
	}

	switch {
	case err == nil:
		r.recordDestroyed(ctx, env, p)
		r.overdue.gone(env.ID)
		// Afterwards: it is the keeper's, not the environment's, and nobody should have to wait for it.
		r.releaseNetwork(tryCtx, env)
	case ctx.Err() != nil:
		r.yield(ctx, env, provisioner.Errorf(provisioner.Cancelled, "destroy environment", "interrupted: %w", context.Cause(ctx)))
	default:
		r.logger.Warn("destroy failed; it is tried again", "environment", env.Name, "id", env.ID, "attempt", env.Work.Attempts+1, "error", err)
		r.yield(ctx, env, err)
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
func (r remover) goesWithout(env fleet.Environment, failed error) bool {
	if errors.Is(failed, provisioner.ErrUnprepared) {
		return true // and would not be the next time either, or only when the lease is long over
	}
	if provisioner.IsUnavailable(failed) {
		over := env.Work.Deadline
		return r.tries.foundAway(env.ID) >= driverAwayTries || !over.IsZero() && !r.clock.Now().Before(over)
	}
	return env.Work.Attempts >= driverTries
}

// clean removes everything that an earlier try to create left, and gives no error only when nothing was found any more.
func (r remover) clean(ctx context.Context, env fleet.Environment, log *progress) (evidence.Absence, error) {
	// What a create of before still brings has the name of what is made next: the engine refuses the later one.
	return r.takeAway(ctx, env, log, false)
}

// takeAway removes everything of an environment and gives the checks that found nothing of it any more. When it does not
// come to its end, as what is inside keeps the engine from it, endBlocked sees to that.
func (r remover) takeAway(ctx context.Context, env fleet.Environment, log *progress, withLogs bool) (gone evidence.Absence, err error) {
	h, err := r.hosts.Host(env.Host)
	if err != nil {
		return gone, err
	}
	driverCtx, endDriver := context.WithCancelCause(ctx)
	watchCtx, unwatch := context.WithCancel(ctx)
	var watch sync.WaitGroup
	r.guard.KeepUp(watchCtx, &watch, "the watch over a destroy", func() { r.endBlocked(watchCtx, driverCtx, env, endDriver) })
	defer func() {
		unwatch()
		watch.Wait()
		endDriver(nil)
	}()
	var logs sync.WaitGroup
	if withLogs {
		r.guard.Aside(&logs, "the keeping of a sandbox's output", func() { r.keepLogs(ctx, env) })
	}
	there, err := r.inventoryOf(ctx, h, env)
	logs.Wait() // it takes what is removed next
	if err != nil {
		return gone, err
	}
	// What cannot be read any more does not keep a sandbox: it is deleted first, and proven once the database is mended.
	billed, unread := r.evidence.NoteSeen(ctx, env, there)
	if unread != nil && !evidence.Damaged(unread) {
		return gone, unread
	}
	if err := r.driverDestroy(driverCtx, h, env, log); err != nil {
		if kept := context.Cause(driverCtx); ctx.Err() == nil && errors.Is(kept, errUnanswered) {
			err = provisioner.Errorf(provisioner.Transient, "destroy environment", "%w", kept)
		} else if ctx.Err() != nil || !r.goesWithout(env, err) {
			return gone, err
		}
		log.step("sweep", "Terraform could not destroy it (%s); it is removed by label instead", provisioner.Sentence(err))
	}
	gone, err = r.sweepEnvironment(ctx, h, env, log)
	gone.Removed, gone.Billed = gone.Removed || len(there) > 0, billed
	if err == nil {
		err = unread
	}
	return gone, err
}

// releaseTimeout is more than a keeper waits for the last sandbox to leave.
const releaseTimeout = 20 * time.Second

// releaseNetwork gives the network of what is gone back to its keeper. Should that fail, the next sweep
// sees that nobody holds it, and removes it.
func (r remover) releaseNetwork(ctx context.Context, env fleet.Environment) {
	h, err := r.hosts.Host(env.Host)
	if err != nil || h.Networks == nil || env.Network == "" {
		return
	}
	// The work is over, and with it the row's lease: its end must not cut this off.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if err := h.Networks.Release(ctx, provisioner.Attachment(env.Network)); err != nil {
		r.logger.Warn("releasing a network failed; it is removed later", "network", env.Network, "error", err)
	}
}

func (r remover) driverDestroy(ctx context.Context, h *target.Host, env fleet.Environment, log *progress) error {
	spec, err := r.spec(env)
	if err != nil {
		return err
	}
	sealed, _, err := r.store.LatestState(ctx, env.ID)
	if err != nil && fleet.CodeOf(err) != fleet.CodeNotFound && !evidence.Damaged(err) {
		return fmt.Errorf("read state: %w", err)
	}
	var state []byte
	if sealed != nil {
		if state, err = r.cfg.Vault.OpenState(env.ID, sealed); err != nil {
			// The labels still find everything; a state that cannot be read is no reason to keep it.
			log.step("sweep", "%v; it is removed by label instead", err)
			return nil
		}
	}
	if h.Broker != nil {
		door, err := r.openDoor(ctx, h, env, &spec, false)
		if err != nil {
			return err
		}
		defer door.Close()
	}
	return h.Driver.Destroy(ctx, spec, state, log.observe)
}

// nothingComes gives an error while something of an environment may still be made by a request that is on its way.
func (r remover) nothingComes(ctx context.Context, env fleet.Environment) error {
	h, err := r.hosts.Host(env.Host)
	if err != nil {
		return err
	}
	return r.allAnswered(ctx, h, env)
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
func (r remover) sweepEnvironment(ctx context.Context, h *target.Host, env fleet.Environment, log *progress) (gone evidence.Absence, err error) {
	for round, look := 1, 1; ; look++ {
		if look > 1 {
			if err := target.OutwaitLists(ctx, h); err != nil {
				return gone, err
			}
		}
		left, err := r.inventoryOf(ctx, h, env)
		if err != nil {
			return gone, err
		}
		if len(left) == 0 {
			if gone.Checks = append(gone.Checks, receipt.Check{At: r.clock.Now(), What: lookedAt}); len(gone.Checks) == emptyLooks {
				return gone, nil
			}
			continue
		}
		gone = evidence.Absence{Removed: true}
		if round > sweepRounds {
			return gone, provisioner.Errorf(provisioner.Transient, "sweep environment", "%d resources are still there, the first is %s %s", len(left), left[0].Kind, left[0].Name)
		}
		round++
		if _, err := r.evidence.NoteSeen(ctx, env, left); err != nil && !evidence.Damaged(err) {
			return gone, err
		}
		for _, f := range left {
			if t := r.running.trustOf(env.ID); t != nil && !t.Holds() {
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

// inventoryOf finds what carries the labels of one environment, in the order in which it is to go. A sandbox that a list does not
// show is looked for by its id.
func (r remover) inventoryOf(ctx context.Context, h *target.Host, env fleet.Environment) ([]provisioner.Found, error) {
	all, err := target.Listed(ctx, h, r.cfg.Instance, env.ID)
	if err != nil {
		return nil, err
	}
	var mine []provisioner.Found
	for _, f := range all {
		if f.Labels[provisioner.LabelEnvironment] == env.ID && r.labels.Verify(f.Labels) {
			mine = append(mine, f)
		}
	}
	more, err := r.recordedThere(ctx, h, env, mine)
	if err != nil {
		return nil, err
	}
	mine = append(mine, more...)
	slices.SortFunc(mine, h.ByRemovalOrder)
	if env.SandboxID == "" || slices.ContainsFunc(mine, func(f provisioner.Found) bool { return f.ID == env.SandboxID }) {
		return mine, nil
	}
	there, err := target.Exists(ctx, h, env.SandboxID)
	if err != nil {
		return nil, err
	}
	if there {
		owner := provisioner.Owner{Instance: r.cfg.Instance, Environment: env.ID}
		mine = slices.Insert(mine, 0, r.byRecord(env, h.SandboxKind(), env.SandboxID, owner.ResourceName()))
	}
	return mine, nil
}

// kindOfSandbox is the kind of an environment's sandbox, seen or not; "" where its host is not declared here.
func (r remover) kindOfSandbox(env fleet.Environment) string {
	h, err := r.hosts.Host(env.Host)
	if err != nil {
		return ""
	}
	return h.SandboxKind()
}

// byRecord is a resource of an environment that was looked for by its id. A runtime removes only what it knows the owner of.
func (r remover) byRecord(env fleet.Environment, kind, id, name string) provisioner.Found {
	return provisioner.Found{
		Ref:    provisioner.Ref{Kind: kind, ID: id, Name: name},
		Labels: map[string]string{provisioner.LabelInstance: r.cfg.Instance, provisioner.LabelEnvironment: env.ID},
	}
}

// recordDestroyed ends an environment: its last entry and its receipt are written together with the state.
func (r remover) recordDestroyed(ctx context.Context, env fleet.Environment, p evidence.Proof) {
	now := r.clock.Now()
	r.finish(ctx, env, func(row *fleet.Environment) (store.Writes, error) {
		before := *row
		row.State, row.DestroyedAt = fleet.Destroyed, now
		r.evidence.BillGone(row, p.Absence, now)
		row.Network, row.SandboxID, row.Paused = "", "", false
		row.Work = fleet.Work{Generation: row.Work.Generation}
		final, _ := ledger.Book(before, *row, now)
		return store.Writes{
			Events:  []fleet.Event{r.journal.Event(row, journal.Self, "environment.destroyed", "gone: nothing with its labels is left")},
			Receipt: r.journal.Sign(p.Body(r.journal.ReceiptBody(*row), final)),
		}, nil
	})
	r.cfg.Recovery.NoteGiven() // the receipt
	if err := r.store.DropStates(context.WithoutCancel(ctx), env.ID); err != nil {
		r.logger.Warn("dropping states failed", "environment", env.Name, "error", err)
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
func (r remover) keepLogs(ctx context.Context, env fleet.Environment) {
	h, err := r.hosts.Host(env.Host)
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
		err = errors.Join(err, r.store.AppendLog(ctx, env.ID, lines))
	}
	if err != nil && !provisioner.Is(err, provisioner.NotFound) {
		r.logger.Warn("keeping a sandbox's output failed", "environment", env.Name, "error", err)
	}
}
