package acquire

import (
	"context"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/quota"
	"github.com/bothy-env/bothy/internal/store"
)

// holdersShown is how many environments, and how many users, a refusal names.
const holdersShown = 5

// WithHolders adds to a refusal the environments or users that use the quota. They are all of one tenant, since a scope never
// spans two. at is the time of the refused request: its day and month count.
func WithHolders(ctx context.Context, db *store.Store, r *quota.Refusal, at time.Time, refused error) error {
	if r.Code != fleet.CodeQuota {
		return refused
	}
	who, err := holders(ctx, db, r, at)
	if err != nil || who == "" {
		return refused // also right without their names
	}
	out := r.Err()
	out.Sentence += who
	return out
}

// holders lists who uses a quota: "; held by web (ann), and others".
func holders(ctx context.Context, db *store.Store, r *quota.Refusal, at time.Time) (string, error) {
	if r.Period == "" {
		held, err := db.Holders(ctx, r.Scope, holdersShown+1)
		return few("; held by ", held, func(env fleet.Environment) string { return env.Name + " (" + env.Owner + ")" }), err
	}
	from, until := periodOf(r.Period, at)
	ofMoney := r.Unit == quota.UnitMicros
	live, gone, err := db.Spenders(ctx, r.Scope, from, until, ofMoney, holdersShown+1)
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

// few lists as many names as a refusal shows; "" for none.
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

// periodOf returns the UTC day or month of a time.
func periodOf(period string, at time.Time) (from, until time.Time) {
	at = at.UTC()
	if period == quota.PeriodMonth {
		from = time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)
		return from, from.AddDate(0, 1, 0)
	}
	from = time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
	return from, from.AddDate(0, 0, 1)
}
