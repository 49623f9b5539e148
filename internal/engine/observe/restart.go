package observe

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// What is done about a sandbox that has ended, was restarted or lost its network: it is started again where that helps, its lease
// fails where it does not, and a pool's member is replaced.

const (
	// restartFor bounds one restart.
	restartFor = 30 * time.Second
	// shortestRun is how long a sandbox that was restarted must run to be started once more: one that ends at once would end again.
	// It is as long in between before that is believed: the first half of a restart by somebody else looks the same.
	shortestRun = 10 * time.Second
)

// endOf says how a sandbox ended.
func endOf(s provisioner.Status) string {
	switch {
	case s.OutOfMemory:
		return "its main process was killed because the sandbox ran out of memory"
	case s.Error != "":
		return fmt.Sprintf("it ended with exit code %d: %s", s.ExitCode, s.Error)
	}
	return fmt.Sprintf("it ended with exit code %d", s.ExitCode)
}

// still has fn change an environment that is ready and has the sandbox that was looked at; another one is left as it is.
func (l *Liveness) still(ctx context.Context, env fleet.Environment, fn func(*fleet.Environment) store.Writes) (done bool, err error) {
	_, err = l.cfg.Journal.Change(ctx, env.ID, store.Expect{}, func(row *fleet.Environment) (store.Writes, error) {
		if done = row.Ready() && row.SandboxID == env.SandboxID && row.State == env.State; !done {
			return store.Writes{}, nil
		}
		return fn(row), nil
	})
	if err != nil {
		return false, fmt.Errorf("record what became of the sandbox of %s: %w", env.Name, err)
	}
	return done, nil
}

// replaceWarm destroys a pool's member that is not as it was made; its pool makes another.
func (l *Liveness) replaceWarm(ctx context.Context, env fleet.Environment, s sight) error {
	what, kind := "somebody restarted it", "environment.restarted"
	switch {
	case s.Ended():
		what, kind = endOf(s.Status), "environment.ended"
	case s.offNetwork:
		what, kind = "what held its network ended", "environment.ended"
	}
	done, err := l.still(ctx, env, func(row *fleet.Environment) store.Writes {
		journal.BeginDestroy(row, "it was not well while it was kept ready: "+what)
		billEnded(row, s.Status, l.cfg.Clock.Now())
		return l.cfg.Journal.Recorded(row, kind, what+"; pool "+row.Pool+" replaces it")
	})
	if done {
		l.befell(env, what)
		l.cfg.Bus.Nudge(bus.Plan, bus.Work)
	}
	return err
}

// billEnded closes the bill of a sandbox that has ended by itself at its end, by the provider's clock as far as that can be.
func billEnded(row *fleet.Environment, s provisioner.Status, now time.Time) {
	if !s.Ended() || s.EndedAt.IsZero() {
		return
	}
	at := clock.Kept(s.EndedAt)
	if at.After(now) { // another machine's clock
		at = now
	}
	ledger.Gone(row, at)
}

// startAgain mends a leased sandbox by starting it, or fails its lease where that cannot be done.
func (l *Liveness) startAgain(ctx context.Context, h *target.Host, env fleet.Environment, s sight, kind, cause string) error {
	restarter, ok := provisioner.Can[provisioner.Restarter](h.Runtime)
	short := s.Ended() && s.StartedAt.After(env.ReadyAt) && s.EndedAt.Sub(s.StartedAt) < shortestRun
	if since := l.cfg.Clock.Now().Sub(s.EndedAt); short && since >= 0 && since < shortestRun {
		l.notices[h.Name].later(env.ID)
		return nil
	}
	if !ok || short {
		return l.failEnded(ctx, env, s, cause)
	}
	// Read again: what is to go is not started.
	row, err := l.cfg.Store.Get(ctx, env.ID)
	if err != nil || !row.Ready() || row.SandboxID != env.SandboxID {
		return err
	}
	rctx, cancel := context.WithTimeout(ctx, restartFor)
	defer cancel()
	err = restarter.Restart(rctx, env.SandboxID)
	switch {
	case provisioner.IsUnavailable(err) || provisioner.Is(err, provisioner.Cancelled) || provisioner.Is(err, provisioner.NotFound):
		return fmt.Errorf("start the sandbox of %s again: %w", env.Name, err)
	case err != nil:
		return l.failEnded(ctx, env, s, cause+"; it could not be started again: "+provisioner.Sentence(err))
	}
	status, err := h.Runtime.Inspect(rctx, env.SandboxID)
	if err != nil {
		return fmt.Errorf("look at the sandbox of %s: %w", env.Name, err)
	}
	return l.recordRestart(ctx, env, status.StartedAt, kind, cause+"; bothy started it again")
}

// recordRestart tells the holder of a lease that the sandbox was started again: what was in memory is gone.
func (l *Liveness) recordRestart(ctx context.Context, env fleet.Environment, at time.Time, kind, cause string) error {
	done, err := l.still(ctx, env, func(row *fleet.Environment) store.Writes {
		lost := "the commands that ran in it ended; its files are kept"
		if len(row.SecretNames) > 0 {
			lost = fmt.Sprintf("the commands that ran in it ended and its secrets are gone (%s); its files are kept", strings.Join(row.SecretNames, ", "))
		}
		row.StartedAt, row.SecretNames = clock.Kept(at), nil
		row.Reason = fmt.Sprintf("its sandbox was restarted at %s: %s. %s", row.StartedAt.Format(time.RFC3339), cause, lost)
		return l.cfg.Journal.Recorded(row, kind, fmt.Sprintf("%s; %s", cause, lost))
	})
	if done {
		l.befell(env, cause)
	}
	return err
}

// failEnded ends a lease whose sandbox has ended and cannot be started again.
func (l *Liveness) failEnded(ctx context.Context, env fleet.Environment, s sight, cause string) error {
	now := l.cfg.Clock.Now()
	done, err := l.still(ctx, env, func(row *fleet.Environment) store.Writes {
		journal.Fail(row, &fleet.Failure{
			Code: fleet.CodeProvision, Sentence: "its sandbox is of no use any more: " + cause, At: now,
			Hint: "ask for another one: bothy up; what it wrote last: bothy logs " + row.Name,
		})
		billEnded(row, s.Status, now)
		return l.cfg.Journal.Recorded(row, "environment.ended", cause)
	})
	if done {
		l.befell(env, cause)
		l.cfg.Bus.Nudge(bus.Plan, bus.Work)
	}
	return err
}

// thawLeased thaws what somebody froze.
func (l *Liveness) thawLeased(ctx context.Context, h *target.Host, env fleet.Environment) error {
	ctx, cancel := context.WithTimeout(ctx, target.LookFor)
	defer cancel()
	if err := target.Thaw(ctx, h, env.SandboxID); err != nil {
		return err
	}
	_, err := l.still(ctx, env, func(row *fleet.Environment) store.Writes {
		return l.cfg.Journal.Recorded(row, "environment.thawed", "somebody had paused it; it runs again")
	})
	return err
}

// recordStarted keeps a start that is not known yet, of a row of an older version or from before its lease.
func (l *Liveness) recordStarted(ctx context.Context, env fleet.Environment, at time.Time) error {
	_, err := l.still(ctx, env, func(row *fleet.Environment) store.Writes {
		row.StartedAt = clock.Kept(at)
		return store.Writes{}
	})
	return err
}

// befell notes and logs what happened to a sandbox.
func (l *Liveness) befell(env fleet.Environment, what string) {
	l.cfg.Logger.Warn("a sandbox ended or was restarted", "environment", env.Name, "id", env.ID, "host", env.Host, "cause", what)
	l.Befell(env, what)
}
