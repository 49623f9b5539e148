package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

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

// kept is a time as exact as the store keeps it.
func kept(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

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
func (e *Engine) still(ctx context.Context, env fleet.Environment, fn func(*fleet.Environment) store.Writes) (done bool, err error) {
	_, err = e.change(ctx, env.ID, store.Expect{}, func(row *fleet.Environment) (store.Writes, error) {
		if done = ready(*row) && row.SandboxID == env.SandboxID && row.State == env.State; !done {
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
func (e *Engine) replaceWarm(ctx context.Context, env fleet.Environment, s sight) error {
	what, kind := "somebody restarted it", "environment.restarted"
	switch {
	case s.Ended():
		what, kind = endOf(s.Status), "environment.ended"
	case s.offNetwork:
		what, kind = "what held its network ended", "environment.ended"
	}
	done, err := e.still(ctx, env, func(row *fleet.Environment) store.Writes {
		beginDestroy(row, "it was not well while it was kept ready: "+what)
		billEnded(row, s.Status, e.Now())
		return e.recorded(row, kind, what+"; pool "+row.Pool+" replaces it")
	})
	if done {
		e.befell(env, what)
		nudge(e.planNudge)
		nudge(e.workNudge)
	}
	return err
}

// billEnded closes the bill of a sandbox that has ended by itself at its end, by the provider's clock as far as that can be.
func billEnded(row *fleet.Environment, s provisioner.Status, now time.Time) {
	if !s.Ended() || s.EndedAt.IsZero() {
		return
	}
	at := kept(s.EndedAt)
	if at.After(now) { // another machine's clock
		at = now
	}
	ledger.Gone(row, at)
}

// startAgain mends a leased sandbox by starting it, or fails its lease where that cannot be done.
func (e *Engine) startAgain(ctx context.Context, h *Host, env fleet.Environment, s sight, kind, cause string) error {
	restarter, ok := provisioner.Can[provisioner.Restarter](h.Runtime)
	short := s.Ended() && s.StartedAt.After(env.ReadyAt) && s.EndedAt.Sub(s.StartedAt) < shortestRun
	if since := e.Now().Sub(s.EndedAt); short && since >= 0 && since < shortestRun {
		e.notices[h.Name].later(env.ID)
		return nil
	}
	if !ok || short {
		return e.failEnded(ctx, env, s, cause)
	}
	// Read again: what is to go is not started.
	row, err := e.store.Get(ctx, env.ID)
	if err != nil || !ready(row) || row.SandboxID != env.SandboxID {
		return err
	}
	rctx, cancel := context.WithTimeout(ctx, restartFor)
	defer cancel()
	err = restarter.Restart(rctx, env.SandboxID)
	switch {
	case provisioner.IsUnavailable(err) || provisioner.Is(err, provisioner.Cancelled) || provisioner.Is(err, provisioner.NotFound):
		return fmt.Errorf("start the sandbox of %s again: %w", env.Name, err)
	case err != nil:
		return e.failEnded(ctx, env, s, cause+"; it could not be started again: "+provisioner.Sentence(err))
	}
	status, err := h.Runtime.Inspect(rctx, env.SandboxID)
	if err != nil {
		return fmt.Errorf("look at the sandbox of %s: %w", env.Name, err)
	}
	return e.recordRestart(ctx, env, status.StartedAt, kind, cause+"; bothy started it again")
}

// recordRestart tells the holder of a lease that the sandbox was started again: what was in memory is gone.
func (e *Engine) recordRestart(ctx context.Context, env fleet.Environment, at time.Time, kind, cause string) error {
	done, err := e.still(ctx, env, func(row *fleet.Environment) store.Writes {
		lost := "the commands that ran in it ended; its files are kept"
		if len(row.SecretNames) > 0 {
			lost = fmt.Sprintf("the commands that ran in it ended and its secrets are gone (%s); its files are kept", strings.Join(row.SecretNames, ", "))
		}
		row.StartedAt, row.SecretNames = kept(at), nil
		row.Reason = fmt.Sprintf("its sandbox was restarted at %s: %s. %s", row.StartedAt.Format(time.RFC3339), cause, lost)
		return e.recorded(row, kind, fmt.Sprintf("%s; %s", cause, lost))
	})
	if done {
		e.befell(env, cause)
	}
	return err
}

// failEnded ends a lease whose sandbox has ended for good.
func (e *Engine) failEnded(ctx context.Context, env fleet.Environment, s sight, cause string) error {
	now := e.Now()
	done, err := e.still(ctx, env, func(row *fleet.Environment) store.Writes {
		e.fail(row, &fleet.Failure{
			Code: fleet.CodeProvision, Sentence: "its sandbox is of no use any more: " + cause, At: now,
			Hint: "ask for another one: bothy up; what it wrote last: bothy logs " + row.Name,
		})
		billEnded(row, s.Status, now)
		return e.recorded(row, "environment.ended", cause)
	})
	if done {
		e.befell(env, cause)
		nudge(e.planNudge)
		nudge(e.workNudge)
	}
	return err
}

// thawLeased thaws what somebody froze.
func (e *Engine) thawLeased(ctx context.Context, h *Host, env fleet.Environment) error {
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	if err := thaw(ctx, h, env.SandboxID); err != nil {
		return err
	}
	_, err := e.still(ctx, env, func(row *fleet.Environment) store.Writes {
		return e.recorded(row, "environment.thawed", "somebody had paused it; it goes on")
	})
	return err
}

// recordStarted keeps a start that is not known yet, of a row of an older version or from before its lease.
func (e *Engine) recordStarted(ctx context.Context, env fleet.Environment, at time.Time) error {
	_, err := e.still(ctx, env, func(row *fleet.Environment) store.Writes {
		row.StartedAt = kept(at)
		return store.Writes{}
	})
	return err
}

// befell notes and logs what happened to a sandbox.
func (e *Engine) befell(env fleet.Environment, what string) {
	e.logger.Warn("a sandbox ended or was restarted", "environment", env.Name, "id", env.ID, "host", env.Host, "cause", what)
	e.mishaps.note(mishap{at: e.Now(), name: env.Name, host: env.Host, what: what})
}
