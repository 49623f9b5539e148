package engine

import (
	"context"
	"fmt"
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

// holdersShown is how many environments a refusal names.
const holdersShown = 5

// tellHolders adds to a refusal who holds what it is short of. What they are called is told within a tenant only, and
// a scope never spans two.
func (e *Engine) tellHolders(ctx context.Context, w *wish, refused error) error {
	if w.refusal.Code != fleet.CodeQuota {
		return refused
	}
	held, err := e.store.Holders(ctx, w.refusal.Scope, holdersShown+1)
	if err != nil || len(held) == 0 {
		return refused // the refusal stands without their names
	}
	var names []string
	for _, env := range held[:min(len(held), holdersShown)] {
		names = append(names, fmt.Sprintf("%s (%s)", env.Name, env.Owner))
	}
	if len(held) > holdersShown {
		names = append(names, "and others")
	}
	out := w.refusal.Err()
	out.Sentence += "; held by " + strings.Join(names, ", ")
	return out
}
