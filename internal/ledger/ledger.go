// Package ledger is bothy's arithmetic of money: pure functions over integer
// micro-units (millionths of a currency's unit). It reads no clock.
package ledger

import (
	"math"
	"math/bits"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Charge is the price of the time from..until at a rate per hour, rounded down
// to a micro-unit; 0 when until is not after from. It saturates instead of overflowing.
func Charge(rateMicrosPerHour int64, from, until time.Time) int64 {
	if rateMicrosPerHour <= 0 || from.IsZero() || !until.After(from) {
		return 0
	}
	hi, lo := bits.Mul64(uint64(rateMicrosPerHour), uint64(until.Sub(from)))
	if hi >= uint64(time.Hour) {
		return math.MaxInt64
	}
	q, _ := bits.Div64(hi, lo, uint64(time.Hour))
	return int64(min(q, math.MaxInt64))
}

// Accrued is what an environment has cost its holder until now: from its first created resource, or
// from the claim of one that was kept warm, until its last removed one. While it is warm it is what it has cost its pool.
func Accrued(env fleet.Environment, now time.Time) int64 {
	until := now
	if !env.BilledUntil.IsZero() {
		until = env.BilledUntil
	}
	return max(between(env, paidFrom(env), until), 0)
}

// AtExpiry is what an environment will have cost if it runs to the end of its
// lease; before hand-over, the price of the whole lease on top of what it has
// cost so far. It saturates like Charge.
func AtExpiry(env fleet.Environment, now time.Time) int64 {
	accrued := Accrued(env, now)
	switch {
	case !env.State.Live() || !env.BilledUntil.IsZero():
		return accrued
	case !env.Lease.Held():
		lease := Charge(env.Size.RateMicros, now, now.Add(env.Lease.TTL))
		return plus(accrued, lease)
	case now.After(env.Lease.End):
		return accrued
	}
	return between(env, paidFrom(env), env.Lease.End)
}

// paidFrom is since when the one who holds an environment pays for it.
func paidFrom(env fleet.Environment) time.Time {
	if env.Pool != "" && env.Lease.Held() && env.Lease.Start.After(env.BilledFrom) {
		return env.Lease.Start
	}
	return env.BilledFrom
}
