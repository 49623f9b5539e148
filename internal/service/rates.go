package service

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/bothy-env/bothy/internal/engine/acquire"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/quota"
)

// maxRateMicros is the highest price of an hour: a million units of the currency.
const maxRateMicros = 1_000_000_000_000

var currencyPattern = regexp.MustCompile(`^[A-Z]{3}$`)

// Rates returns every rate that was set, by blueprint, size and time. Without one, the price of the blueprint applies.
func (c *Costs) Rates(ctx context.Context, _ fleet.Identity) ([]fleet.Rate, error) {
	return c.cfg.Store.Rates(ctx)
}

// SetRate sets the price of a blueprint's size (both by name) from r.From, or from now if that is zero. It
// applies to environments admitted from then on. Existing ones keep their price.
//
// Errors: not_found (no such blueprint), invalid (wrong size, price, currency or time).
func (c *Costs) SetRate(ctx context.Context, who fleet.Identity, r fleet.Rate) (fleet.Rate, error) {
	now := c.cfg.Clock.Now()
	if r.From.IsZero() {
		r.From = now
	}
	r.From, r.SetBy = r.From.UTC().Truncate(time.Microsecond), who.User
	bp, own, err := c.checkRate(r, now)
	if err != nil {
		return r, err
	}
	return r, c.cfg.Store.SetRate(ctx, r, func(were []fleet.Rate) fleet.Event {
		was := acquire.Priced(own, bp, were, r.From)
		return fleet.Event{At: now, Actor: who.User, Kind: "rate.set", Message: fmt.Sprintf(
			"%s set the price of %s %s from %s on: %s an hour (was %s)", who.User, r.Blueprint, r.Size, r.From.Format(time.RFC3339),
			quota.Money(r.Micros, r.Currency), quota.Money(was.RateMicros, was.Currency))}
	})
}

// checkRate returns the blueprint and the size of a rate.
func (c *Costs) checkRate(r fleet.Rate, now time.Time) (fleet.Blueprint, fleet.Size, error) {
	bp, err := c.cfg.Blueprints.Get(r.Blueprint)
	if err != nil {
		return bp, fleet.Size{}, err
	}
	size, err := checkPrice(r, bp, now)
	return bp, size, err
}

func checkPrice(r fleet.Rate, bp fleet.Blueprint, now time.Time) (fleet.Size, error) {
	if bp.Ref.Name != r.Blueprint {
		return fleet.Size{}, fleet.Errorf(fleet.CodeInvalid, "%q names a version; a rate applies to all versions of a blueprint", r.Blueprint).
			WithHint("give the name alone: %s", bp.Ref.Name)
	}
	size, ok := bp.SizeNamed(r.Size)
	switch {
	case r.Size == "" || !ok:
		return size, fleet.Errorf(fleet.CodeInvalid, "blueprint %s has no size %q", bp.Ref, fleet.Short(r.Size)).WithHint("its sizes: %s", acquire.SizeNames(bp))
	case r.Micros < 0 || r.Micros > maxRateMicros:
		return size, fleet.Errorf(fleet.CodeInvalid, "a price of %d millionths an hour is not one", r.Micros).WithHint("give 0 to %d", int64(maxRateMicros))
	case !currencyPattern.MatchString(r.Currency):
		return size, fleet.Errorf(fleet.CodeInvalid, "%q is not a currency", fleet.Short(r.Currency)).WithHint("give an ISO 4217 code: %s", size.Currency)
	case r.Currency != size.Currency:
		return size, fleet.Errorf(fleet.CodeInvalid, "blueprint %s is priced in %s, not in %s", bp.Ref, size.Currency, r.Currency).
			WithHint("limits of money have no currency, so a blueprint keeps its own")
	case r.From.Before(now):
		return size, fleet.Errorf(fleet.CodeInvalid, "a price cannot hold from %s on, which is over", r.From.Format(time.RFC3339)).
			WithHint("leave the time out for now, or give one to come")
	}
	return size, nil
}
