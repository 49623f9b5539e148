package ledger

import (
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// The bill of an environment is open while something of it is known to exist. It has periods: each try to create one may
// leave something, which is removed before the next try begins. BilledFrom and BilledUntil bound the present period,
// BilledUntil being zero while it is open, and BilledBefore is the time of the periods before.

// Begin opens the bill of an environment that has had something at the provider since a moment. An open one stays as it is,
// and a new period never overlaps the one before.
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

// Seen notes that what is about to be removed exists at a moment, the oldest part of it since another. From then on time is
// charged only as far as something is seen again, so that nobody pays for what went unseen while a daemon was down.
func Seen(env *fleet.Environment, since, at time.Time) {
	if env.BilledFrom.IsZero() || !env.BilledUntil.IsZero() && since.After(env.BilledUntil) {
		Begin(env, since)
	}
	Gone(env, at)
}

// Gone closes the bill at a moment, and never within time that is charged already.
func Gone(env *fleet.Environment, at time.Time) {
	if !env.BilledFrom.IsZero() {
		env.BilledUntil = latest(at, env.BilledFrom, env.BilledUntil, env.BookedUntil)
	}
}

// origin is when the bill would have begun had there been no gap between its periods.
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
