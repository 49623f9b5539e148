package engine

import (
	"context"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/quota"
)

// priced gives a size at the price in force at a time: the platform team's, else the blueprint's.
func priced(size fleet.Size, bp fleet.Blueprint, rates []fleet.Rate, at time.Time) fleet.Size {
	if rate, ok := ledger.RateAt(rates, bp.Ref.Name, size.Name, at); ok {
		size.RateMicros, size.Currency = rate.Micros, rate.Currency
	}
	return size
}

// ask is a wish in the words of quotas.
func (w *wish) ask(now time.Time) quota.Ask {
	return quota.Ask{
		Blueprint: w.env.Blueprint.Name, Size: w.env.Size.Name,
		MilliCPUs: w.env.Size.MilliCPUs(), MemoryMiB: w.env.Size.MemoryMiB,
		TTL: w.env.Lease.TTL, Micros: w.hold(now), Currency: w.env.Size.Currency,
	}
}

// decide is asked with the limits and usage of the wish's scopes. It may be asked again, when a transaction is.
func (w *wish) decide(scopes []fleet.ScopeUsage, now time.Time) error {
	if w.refusal = quota.Decide(w.ask(now), scopes); w.refusal != nil {
		return w.refusal.Err()
	}
	if w.wouldWait != nil {
		return w.wouldWait
	}
	return nil
}

// holdersShown is how many environments, and how many users, a refusal names.
const holdersShown = 5

// tellHolders adds to a refusal who holds what it is short of, or who spent it. What they are called is told within a
// tenant only, and a scope never spans two. at is when what is refused was asked for: it counts in that day and month.
func (e *Engine) tellHolders(ctx context.Context, r *quota.Refusal, at time.Time, refused error) error {
	if r.Code != fleet.CodeQuota {
		return refused
	}
	who, err := e.holders(ctx, r, at)
	if err != nil || who == "" {
		return refused // the refusal stands without their names
	}
	out := r.Err()
	out.Sentence += who
	return out
}

// holders says who has what a refusal is short of: "; held by web (ann), and others".
func (e *Engine) holders(ctx context.Context, r *quota.Refusal, at time.Time) (string, error) {
	if r.Period == "" {
		held, err := e.store.Holders(ctx, r.Scope, holdersShown+1)
		return few("; held by ", held, func(env fleet.Environment) string { return env.Name + " (" + env.Owner + ")" }), err
	}
	from, until := periodOf(r.Period, at)
	ofMoney := r.Unit == quota.UnitMicros
	live, gone, err := e.store.Spenders(ctx, r.Scope, from, until, ofMoney, holdersShown+1)
	amount := func(micros int64, leased time.Duration) string {
		if ofMoney {
			return r.Text(micros)
		}
		return r.Text(int64(leased.Round(time.Second) / time.Second))
	}
	return few("; held by ", live, func(env fleet.Environment) string {
		return env.Name + " (" + env.Owner + ") " + amount(env.HeldMicros, env.HeldFor)
	}) + few("; spent on what is gone: ", gone, func(s fleet.Spent) string {
		return s.Owner + " " + amount(s.Micros, s.Time)
	}), err
}

// few names those that a refusal has room for; nothing when there are none.
func few[T any](lead string, all []T, name func(T) string) string {
	if len(all) == 0 {
		return ""
	}
	var names []string
	for _, one := range all[:min(len(all), holdersShown)] {
		names = append(names, name(one))
	}
	if len(all) > holdersShown {
		names = append(names, "and others")
	}
	return lead + strings.Join(names, ", ")
}

// periodOf is from when until when the UTC day or month of a moment is.
func periodOf(period string, at time.Time) (from, until time.Time) {
	at = at.UTC()
	if period == quota.PeriodMonth {
		from = time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)
		return from, from.AddDate(0, 1, 0)
	}
	from = time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
	return from, from.AddDate(0, 0, 1)
}
