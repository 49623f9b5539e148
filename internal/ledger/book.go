package ledger

import (
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// AccountOf is the account that an environment's time is charged to in its present state; empty
// for one that is gone. Before anything was created there is nothing to charge.
func AccountOf(env fleet.Environment) string {
	switch env.State {
	case fleet.Pending, fleet.Provisioning:
		return AccountProvisioning
	case fleet.Warm:
		return AccountPool
	case fleet.Leased:
		return AccountLeased
	case fleet.Failed:
		return AccountFailed
	case fleet.Destroying:
		return AccountDestroying
	}
	return ""
}

// Book closes the open period of an environment when a change of its row makes what follows another
// one's to pay: another account, payer, rate or host, or the end. It gives the entry, and until when
// the time is booked from now on. It is to be called at every change, with the row before and after.
//
// Entries of one environment follow each other without gap or overlap from BilledFrom to
// BilledUntil. A BilledFrom that is learned late (what was created is found by its label) charges
// the time since to what the row was before the change.
//
// Amounts do not drift: an entry is the difference of two charges from BilledFrom on, so the
// entries of one rate add up to what Charge gives for their time as a whole. A change of the rate
// needs nothing to be kept: both rates are charged from BilledFrom, and each one's difference over
// its own time is less than one micro-unit from exact.
func Book(before, after fleet.Environment, at time.Time) (entries []Entry, booked time.Time) {
	booked = before.BookedUntil
	if payer(before) == payer(after) && after.BilledUntil.IsZero() {
		return nil, booked
	}
	// Time is charged to what it was spent on, from when it is known to have begun.
	spent := before
	spent.BilledFrom, spent.BilledUntil = after.BilledFrom, after.BilledUntil
	entry, ok := Open(spent, at)
	if !ok {
		return nil, booked
	}
	entry.At = at
	return []Entry{entry}, entry.Until
}

// Open is what of an environment's time is not booked yet at now, as the entry that would book it;
// false when there is nothing.
func Open(env fleet.Environment, now time.Time) (Entry, bool) {
	e := payer(env)
	e.At, e.From, e.Until = now, env.BookedUntil, now
	if e.From.IsZero() {
		e.From = env.BilledFrom
	}
	if !env.BilledUntil.IsZero() {
		e.Until = env.BilledUntil
	}
	if e.Debit == "" || env.BilledFrom.IsZero() || !e.Until.After(e.From) {
		return Entry{}, false
	}
	e.AmountMicros = between(env, e.From, e.Until)
	return e, true
}

// payer is an entry with all that decides whom and what time is charged to, and no time.
func payer(env fleet.Environment) Entry {
	return Entry{
		EnvironmentID: env.ID,
		Tenant:        env.Tenant, Team: env.Team, Owner: env.Owner,
		Project: env.Project, PullRequest: env.PullRequest,
		Pool: env.Pool, Blueprint: env.Blueprint.String(), Size: env.Size.Name, Host: env.Host,
		Debit: AccountOf(env), Credit: AccountCapacity,
		RateMicros: env.Size.RateMicros, Currency: env.Size.Currency,
	}
}

// between is the charge for a part of an environment's time, such that parts add up to the whole.
func between(env fleet.Environment, from, until time.Time) int64 {
	return Charge(env.Size.RateMicros, env.BilledFrom, until) - Charge(env.Size.RateMicros, env.BilledFrom, from)
}

// RateAt is the rate of a blueprint's size (both by name) that is in force at a moment: the newest
// that holds from then or before. False when none was set.
func RateAt(rates []fleet.Rate, blueprint, size string, at time.Time) (fleet.Rate, bool) {
	var found fleet.Rate
	ok := false
	for _, r := range rates {
		holds := r.Blueprint == blueprint && r.Size == size && !r.From.After(at)
		if holds && (!ok || !r.From.Before(found.From)) {
			found, ok = r, true
		}
	}
	return found, ok
}
