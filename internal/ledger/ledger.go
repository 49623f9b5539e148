// Package ledger is bothy's arithmetic of money: pure functions over integer micro-units (millionths of a currency's unit). It reads no
// clock.
package ledger

import (
	"math"
	"math/bits"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Money is rounded only here: charges are rounded down (Charge), holds are rounded up (Hold), each for a time as a whole. A sum of parts
// rounded separately is not a price.

// Charge is the price of the time from..until at an hourly rate, rounded down to a micro-unit; 0 when until is not after from. It
// saturates instead of overflowing.
func Charge(rateMicrosPerHour int64, from, until time.Time) int64 {
	micros, _ := price(rateMicrosPerHour, from, until)
	return micros
}

// Hold is what a lease holds from budgets: the price of its whole time from..until, rounded up, so that it is never less than the sum of
// entries of that time, however they are cut.
func Hold(rateMicrosPerHour int64, from, until time.Time) int64 {
	micros, rest := price(rateMicrosPerHour, from, until)
	if rest {
		return plus(micros, 1)
	}
	return micros
}

// price is the whole micro-units of a time's price, and whether a fraction remains.
func price(rateMicrosPerHour int64, from, until time.Time) (micros int64, rest bool) {
	if rateMicrosPerHour <= 0 || from.IsZero() || !until.After(from) {
		return 0, false
	}
	hi, lo := bits.Mul64(uint64(rateMicrosPerHour), uint64(until.Sub(from)))
	if hi >= uint64(time.Hour) {
		return math.MaxInt64, false
	}
	q, r := bits.Div64(hi, lo, uint64(time.Hour))
	return int64(min(q, math.MaxInt64)), r > 0 && q < math.MaxInt64
}

// Accrued is what an environment has cost its holder so far: the time in which any of its resources existed, or, for a former member of a
// pool, the time since the claim. While it is warm it is the cost to its pool.
func Accrued(env fleet.Environment, now time.Time) int64 {
	until := now
	if !env.BilledUntil.IsZero() {
		until = env.BilledUntil
	}
	return max(between(env, paidFrom(env), until), 0)
}

// AtExpiry is what an environment will have cost if it runs to the end of its lease; before the handover, the price of the whole lease
// plus the cost so far. It saturates like Charge.
func AtExpiry(env fleet.Environment, now time.Time) int64 {
	accrued := Accrued(env, now)
	switch {
	case !env.State.Live() || !env.BilledUntil.IsZero() && env.State != fleet.Provisioning: // between two tries the bill has not ended
		return accrued
	case !env.Lease.Held():
		lease := Charge(env.Size.RateMicros, now, now.Add(env.Lease.TTL))
		return plus(accrued, lease)
	case now.After(env.Lease.End):
		return accrued
	}
	return between(env, paidFrom(env), env.Lease.End)
}

// paidFrom is when the holder of an environment starts to pay for it.
func paidFrom(env fleet.Environment) time.Time {
	if env.Pool != "" && env.Lease.Held() && env.Lease.Start.After(env.BilledFrom) {
		return env.Lease.Start
	}
	return origin(env)
}
