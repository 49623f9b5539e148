package ledger

import (
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// AccountOf is the account that an environment's time is charged to in its current state; empty for a destroyed one. Before anything is
// created there is nothing to charge.
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

// Book closes an environment's open time when a change of its row changes who pays for the time that follows: another account, payer,
// rate or host, another period of its bill, or the end. It returns the entries, and the new BookedUntil. Call it at every change, with
// the row before and after.
//
// Entries of one environment never overlap, and follow each other without gaps from each BilledFrom to its BilledUntil. A BilledFrom that
// is learned late (a resource is found by its label) charges the time since to the row as it was before the change. A lease that ends
// late is charged to AccountLeased only until its end: the time after it belongs to the removal, so that no lease costs more than was
// held for it.
//
// Amounts do not drift: an entry is the difference of two charges from the bill's origin on, so the entries of one rate add up to Charge
// of their time as a whole, without the gaps. A change of the rate needs no state: both rates are charged from the origin, and the
// difference of each over its own time is less than one micro-unit from exact.
func Book(before, after fleet.Environment, at time.Time) (entries []Entry, booked time.Time) {
	spent := before
	post := func() {
		if entry, ok := openUntil(spent, at, paidUntil(spent, at)); ok {
			entries, spent.BookedUntil = append(entries, entry), entry.Until
		}
	}
	if !before.BilledFrom.IsZero() && !before.BilledFrom.Equal(after.BilledFrom) {
		post()
	}
	// Time is charged to its purpose, from when it is known to have begun.
	spent.BilledFrom, spent.BilledUntil, spent.BilledBefore = after.BilledFrom, after.BilledUntil, after.BilledBefore
	if payer(before) != payer(after) || !after.State.Live() {
		post()
	}
	return entries, spent.BookedUntil
}

// paidUntil is how long a row's time belongs to its state.
func paidUntil(env fleet.Environment, at time.Time) time.Time {
	if env.State == fleet.Leased && env.Lease.Held() && env.Lease.End.Before(at) {
		return env.Lease.End
	}
	return at
}

// Open returns the entry that would book an environment's unbooked time at now; false when there is none.
func Open(env fleet.Environment, now time.Time) (Entry, bool) { return openUntil(env, now, now) }

func openUntil(env fleet.Environment, now, until time.Time) (Entry, bool) {
	e := payer(env)
	e.At, e.From, e.Until = now, latest(env.BookedUntil, env.BilledFrom), until
	if !env.BilledUntil.IsZero() && (until.Equal(now) || env.BilledUntil.Before(until)) {
		e.Until = env.BilledUntil
	}
	if e.Debit == "" || env.BilledFrom.IsZero() || !e.Until.After(e.From) {
		return Entry{}, false
	}
	e.AmountMicros = between(env, e.From, e.Until)
	return e, true
}

// payer is an entry with everything that decides who pays for time and to which account, and no time.
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

// between is the charge for a part of an environment's time; the parts add up to the whole.
func between(env fleet.Environment, from, until time.Time) int64 {
	return Charge(env.Size.RateMicros, origin(env), until) - Charge(env.Size.RateMicros, origin(env), from)
}

// RateAt is the rate of a blueprint's size (both by name) in force at a moment: the newest one set for then or before. False when none
// was set.
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
