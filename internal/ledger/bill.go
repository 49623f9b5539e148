package ledger

import (
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// The bill of an environment is open while any of its resources is known to exist. It has periods: each try to create the environment may
// leave resources, which are removed before the next try begins. BilledFrom and BilledUntil bound the current period (BilledUntil is zero
// while it is open), and BilledBefore is the length of the earlier periods.

// Begin opens the bill of an environment that has had resources since a moment. An open bill stays as it is, and a new period never
// overlaps the one before.
func Begin(env *fleet.Environment, since time.Time) {
	switch {
	case env.BilledFrom.IsZero():
	case env.BilledUntil.IsZero():
		return
	default:
		env.BilledBefore += env.BilledUntil.Sub(env.BilledFrom)
		since = latest(since, env.BilledUntil)
	}
	env.BilledFrom, env.BilledUntil = since, time.Time{}
}

// Seen records that resources about to be removed exist at a moment, the oldest since another. From then on time is charged only as far
// as a resource is seen again, so that nobody pays for unseen time while a daemon was down.
func Seen(env *fleet.Environment, since, at time.Time) {
	if env.BilledFrom.IsZero() || !env.BilledUntil.IsZero() && since.After(env.BilledUntil) {
		Begin(env, since)
	}
	Gone(env, at)
}

// Gone closes the bill at a moment, but never within time that is already charged.
func Gone(env *fleet.Environment, at time.Time) {
	if !env.BilledFrom.IsZero() {
		env.BilledUntil = latest(at, env.BilledFrom, env.BilledUntil, env.BookedUntil)
	}
}

// origin is when the bill would have begun without gaps between its periods.
func origin(env fleet.Environment) time.Time {
	if env.BilledFrom.IsZero() {
		return env.BilledFrom
	}
	return env.BilledFrom.Add(-env.BilledBefore)
}

func latest(at time.Time, others ...time.Time) time.Time {
	for _, other := range others {
		if other.After(at) {
			at = other
		}
	}
	return at
}
