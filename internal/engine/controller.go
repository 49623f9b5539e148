package engine

import (
	"context"
	"errors"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
	"github.com/bothy-env/bothy/internal/store"
)

// control plans and records, at every nudge, whenever time makes another plan,
// and at least every Tick.
func (e *Engine) control(ctx context.Context) {
	loop(ctx, e.planNudge, func() time.Duration {
		wait, err := e.controlOnce(ctx)
		if err != nil && ctx.Err() == nil {
			e.logger.Error("plan failed; it is tried again", "error", err)
		}
		return wait
	})
}

// controlOnce makes one plan and records its actions. It returns when to look again.
func (e *Engine) controlOnce(ctx context.Context) (time.Duration, error) {
	envs, err := e.store.Live(ctx)
	if err != nil {
		return e.cfg.Tick, err
	}
	unavailable := ""
	if hasPending(envs) {
		unavailable = e.ready.reason(ctx)
	}
	now := e.Now()
	p := plan.Compute(plan.Snapshot{Environments: envs, Capacity: e.cfg.Concurrency, Unavailable: unavailable}, now)

	var errs []error
	for _, a := range p.Actions {
		errs = append(errs, e.record(ctx, a, now))
	}
	for _, w := range p.Waiting {
		errs = append(errs, e.recordWait(ctx, w))
	}
	if len(p.Actions) > 0 {
		nudge(e.workNudge)
	}
	wait := e.cfg.Tick
	if !p.Next.IsZero() {
		wait = min(wait, max(p.Next.Sub(now), 0))
	}
	if unavailable != "" {
		wait = min(wait, readyTTL)
	}
	return wait, errors.Join(errs...)
}

func hasPending(envs []fleet.Environment) bool {
	for _, env := range envs {
		if env.State == fleet.Pending {
			return true
		}
	}
	return false
}

// record writes an action down. A row that moved since the snapshot drops it: it is planned again.
func (e *Engine) record(ctx context.Context, a plan.Action, now time.Time) error {
	_, err := e.change(ctx, a.EnvironmentID, store.Expect{Revision: a.Revision}, func(env *fleet.Environment) (store.Writes, error) {
		var ev fleet.Event
		switch a.Kind {
		case plan.Start:
			env.State, env.Reason = fleet.Provisioning, ""
			env.Work = fleet.Work{Action: fleet.Create, Generation: env.Work.Generation, Deadline: now.Add(e.cfg.CreateDeadline)}
			ev = e.event(env, actorSelf, "environment.provisioning", "making it from %s", env.Blueprint)
		case plan.Destroy:
			kind := "environment.destroying"
			if env.State == fleet.Leased {
				kind = "lease.expired"
			}
			beginDestroy(env, a.Reason)
			ev = e.event(env, actorSelf, kind, "taking it away: %s", a.Reason)
		case plan.GiveUp:
			e.fail(env, &fleet.Failure{Code: fleet.CodeProvision, Sentence: giveUpSentence(env, a.Reason), At: now})
			ev = e.event(env, actorSelf, "environment.failed", "%s", env.Failure.Sentence)
		}
		return store.Writes{Events: []fleet.Event{ev}}, nil
	})
	if errors.Is(err, store.ErrMoved) {
		nudge(e.planNudge)
		return nil
	}
	if err == nil && a.Kind == plan.GiveUp {
		nudge(e.planNudge)
	}
	return err
}

func giveUpSentence(env *fleet.Environment, reason string) string {
	if env.Work.LastError != "" {
		return reason + ": " + env.Work.LastError
	}
	return reason
}

// recordWait keeps the reason why a request waits where its owner sees it; it writes only when that changes.
func (e *Engine) recordWait(ctx context.Context, w plan.Wait) error {
	_, err := e.change(ctx, w.EnvironmentID, store.Expect{Revision: w.Revision}, func(env *fleet.Environment) (store.Writes, error) {
		if env.Reason == w.Reason {
			return store.Writes{}, nil
		}
		env.Reason = w.Reason
		return store.Writes{Events: []fleet.Event{e.event(env, actorSelf, "environment.waiting", "waiting, rank %d: %s", w.Rank, w.Reason)}}, nil
	})
	if errors.Is(err, store.ErrMoved) {
		return nil
	}
	return err
}

// fail moves an environment to Failed; the next plan destroys what it left.
func (e *Engine) fail(env *fleet.Environment, f *fleet.Failure) {
	env.State, env.Reason, env.Failure = fleet.Failed, f.Sentence, f
	env.Work.Action, env.Work.Worker, env.Work.Until = fleet.None, "", time.Time{}
}
