package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
)

// Quote tells what a request would get and cost, without making anything.
//
// Errors: as Acquire for what is wrong with the request; a limit that would refuse it is told in the answer.
func (e *Engine) Quote(ctx context.Context, req Request) (Quote, error) {
	now := e.Now()
	w, pools, err := e.wished(ctx, req)
	if err != nil {
		return Quote{}, err
	}
	q := Quote{Blueprint: w.env.Blueprint, Size: w.env.Size, TTL: w.env.Lease.TTL, Micros: w.hold(now)}
	usage, err := e.store.UsageOf(ctx, w.env.Scopes(), now)
	if err != nil {
		return q, err
	}
	if err := w.decide(usage, now); err != nil {
		q.Refusal, _ = errors.AsType[*fleet.Error](e.tellHolders(ctx, w.refusal, now, err))
		return q, nil
	}
	f, err := e.forecast(ctx, w, now)
	if err != nil {
		return q, err
	}
	q.Warm, q.Rank, q.ReadyAt = f.warm, f.rank, f.readyAt
	if !f.warm {
		q.Cold = coldReason(w, pools, now)
	}
	if w.noQueue && f.rank > 0 {
		q.Refusal = f.refusal()
	}
	return q, nil
}

// forecast is what would become of a request if it came now.
type forecast struct {
	warm bool
	// rank and reason are set when it would wait; readyAt is zero when that cannot be told.
	rank    int
	reason  string
	readyAt time.Time
	now     time.Time
}

// forecastID is the id of the request in a forecast; no environment has it.
const forecastID = "forecast"

// forecast plans with the request as if it had been admitted.
func (e *Engine) forecast(ctx context.Context, w *wish, now time.Time) (forecast, error) {
	f := forecast{now: now}
	s, err := e.reconcile.Snapshot(ctx, now)
	if err != nil {
		return f, err
	}
	if !w.noPool && slices.ContainsFunc(s.Environments, func(env fleet.Environment) bool { return claimable(env, w.env.MatchKey) }) {
		f.warm, f.readyAt = true, now
		return f, nil
	}
	env := w.env
	env.ID, env.CreatedAt, env.Queue = forecastID, now, fleet.Queue{}
	s.Environments = append(s.Environments, env)
	p := plan.Compute(s, now)
	if i := slices.IndexFunc(p.Waiting, func(wait plan.Wait) bool { return wait.EnvironmentID == forecastID }); i >= 0 {
		f.rank, f.reason, f.readyAt = p.Waiting[i].Rank, plan.Text(p.Waiting[i].Causes), p.Waiting[i].Estimate
		return f, nil
	}
	takes, ok := s.CreateTimes[env.Blueprint.Digest]
	if !ok {
		takes = plan.DefaultCreateTime
	}
	f.readyAt = now.Add(takes)
	return f, nil
}

func claimable(env fleet.Environment, matchKey string) bool {
	return env.State == fleet.Warm && env.Pool != "" && env.MatchKey == matchKey && env.Work.Action == fleet.None
}

// refusal is what a request is told that would have to wait and may not.
func (f forecast) refusal() *fleet.Error {
	err := fleet.Errorf(fleet.CodeQuota, "it would have to wait, as number %d of the queue: %s", f.rank, f.reason)
	if f.readyAt.IsZero() {
		return err.WithHint("let it wait: leave out --no-queue")
	}
	return err.WithHint("let it wait: leave out --no-queue; it would be ready in about %s", f.readyAt.Sub(f.now).Round(time.Second))
}
