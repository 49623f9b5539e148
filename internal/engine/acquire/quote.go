package acquire

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
)

// Quote is the answer to a request that creates nothing: what it would get, and the price.
type Quote struct {
	Blueprint fleet.BlueprintRef
	Size      fleet.Size
	TTL       time.Duration
	// Micros is the price of the whole lease, in millionths of the size's currency.
	Micros int64
	// Warm: a warm environment would be claimed. Cold is why not. Both are empty if a limit refuses the request.
	Warm bool
	Cold string
	// Rank is its queue position (0: it would not wait), ReadyAt the ETA.
	Rank    int
	ReadyAt time.Time
	// Refusal is why it would be refused; nil if it would be admitted.
	Refusal *fleet.Error
}

// Quote returns what a request would get and cost, and creates nothing.
//
// Errors: those of Acquire for an invalid request; the refusal of a limit is part of the answer.
func (r *Requests) Quote(ctx context.Context, req Request) (Quote, error) {
	now := r.cfg.Clock.Now()
	w, pools, err := r.wished(ctx, req)
	if err != nil {
		return Quote{}, err
	}
	q := Quote{Blueprint: w.env.Blueprint, Size: w.env.Size, TTL: w.env.Lease.TTL, Micros: w.hold(now)}
	usage, err := r.cfg.Store.UsageOf(ctx, w.env.Scopes(), now)
	if err != nil {
		return q, err
	}
	if err := w.decide(usage, now); err != nil {
		q.Refusal, _ = errors.AsType[*fleet.Error](WithHolders(ctx, r.cfg.Store, w.refusal, now, err))
		return q, nil
	}
	f, err := r.forecast(ctx, w, now)
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

// forecast is the outcome of a request at a time.
type forecast struct {
	warm bool
	// rank and reason are set if it would wait; readyAt is zero if unknown.
	rank    int
	reason  string
	readyAt time.Time
	now     time.Time
}

// forecastID is the id of the request in a forecast; no environment has it.
const forecastID = "forecast"

// forecast plans with the request as if it had been admitted.
func (r *Requests) forecast(ctx context.Context, w *wish, now time.Time) (forecast, error) {
	f := forecast{now: now}
	s, err := r.cfg.Planner.Snapshot(ctx, now)
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

// refusal is the error for a request that would have to wait and may not.
func (f forecast) refusal() *fleet.Error {
	err := fleet.Errorf(fleet.CodeQuota, "it would have to wait, as number %d of the queue: %s", f.rank, f.reason)
	if f.readyAt.IsZero() {
		return err.WithHint("let it wait: leave out --no-queue")
	}
	return err.WithHint("let it wait: leave out --no-queue; it would be ready in about %s", f.readyAt.Sub(f.now).Round(time.Second))
}
