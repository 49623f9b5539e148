package ledger_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
)

func TestHold(t *testing.T) {
	for _, c := range []struct {
		name string
		rate int64
		time time.Duration
		want int64
	}{
		{"an hour", 10_000, time.Hour, 10_000},
		{"a second, rounded up", 10_000, time.Second, 3},
		{"a moment", 1, 1, 1},
		{"no time", 10_000, 0, 0},
		{"free", 0, time.Hour, 0},
	} {
		if got := ledger.Hold(c.rate, base, base.Add(c.time)); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// TestHoldCoversEverySplit: however a lease is extended, and however its time is cut into entries, what is held is one price of
// its whole time, never less than what it will have cost at its end, and less than a micro-unit too much.
func TestHoldCoversEverySplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Int64Range(1, 10_000).Draw(t, "rate")
		from, start := base, base.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "made in")))
		env := environment()
		env.State, env.Pool, env.Size.RateMicros, env.BilledFrom = fleet.Leased, rapid.SampledFrom([]string{"", "p"}).Draw(t, "pool"), rate, from
		env.Lease.Start, env.Lease.End = start, start
		making := ledger.Accrued(env, start)
		held, booked := int64(0), int64(0)
		steps := rapid.SliceOfN(rapid.Int64Range(1, int64(time.Minute)), 1, 60).Draw(t, "steps")
		for _, step := range steps {
			end := env.Lease.End.Add(time.Duration(step))
			held += max(ledger.Hold(rate, start, end)-held, 0)
			env.Lease.End = end
			if most := ledger.AtExpiry(env, start) - making; held < most {
				t.Fatalf("%d is held for a lease of %s that will cost %d", held, end.Sub(start), most)
			}
		}
		if want := ledger.Hold(rate, start, env.Lease.End); held != want {
			t.Fatalf("in %d steps %d is held, at once %d", len(steps), held, want)
		}
		if most := ledger.Charge(rate, start, env.Lease.End) + 1; held > most {
			t.Fatalf("%d is held, want at most %d", held, most)
		}
		// The lease runs to its end and beyond; its entries are cut where its payer's project changes.
		l := life{env: env}
		l.env.BookedUntil = start
		for n, at := range cutTimes(t, start, env.Lease.End.Add(time.Hour)) {
			l.change(at, func(e *fleet.Environment) { e.Project = string(rune('a' + n)) })
		}
		l.change(env.Lease.End.Add(2*time.Hour), become(fleet.Destroying))
		l.change(env.Lease.End.Add(3*time.Hour), func(e *fleet.Environment) {
			e.State = fleet.Destroyed
			ledger.Gone(e, env.Lease.End.Add(3*time.Hour))
		})
		for _, e := range l.entries {
			if e.Debit == ledger.AccountLeased {
				booked += e.AmountMicros
			}
		}
		if booked > held {
			t.Fatalf("the lease cost %d in %d entries, %d was held", booked, len(l.entries), held)
		}
	})
}

func cutTimes(t *rapid.T, from, until time.Time) []time.Time {
	var all []time.Time
	for at := from; len(all) < 20; {
		at = at.Add(time.Duration(rapid.Int64Range(1, int64(until.Sub(from))).Draw(t, "cut")))
		if !at.Before(until) {
			return all
		}
		all = append(all, at)
	}
	return all
}

// TestPeriodsOfABill: a bill has gaps where nothing existed, its entries add up to one charge for the time without them, and
// what is learned out of order never overlaps.
func TestPeriodsOfABill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := life{env: environment()}
		l.env.ID, l.env.State, l.env.CreatedAt = "e", fleet.Provisioning, base
		l.env.Size.RateMicros = rapid.Int64Range(1, 10_000_000).Draw(t, "rate")
		at, existed := base, time.Duration(0)
		step := func(label string) time.Duration {
			return time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, label))
		}
		for range rapid.IntRange(1, 5).Draw(t, "tries") {
			made := at.Add(step("absent"))
			at = made.Add(step("there"))
			if rapid.Bool().Draw(t, "told at once") {
				l.change(made, func(e *fleet.Environment) { ledger.Begin(e, made) })
			}
			l.change(at, func(e *fleet.Environment) { ledger.Seen(e, made, at) })
			if rapid.Bool().Draw(t, "seen again") {
				at = at.Add(step("still there"))
				l.change(at, func(e *fleet.Environment) { ledger.Seen(e, made, at) })
			}
			existed += at.Sub(made)
			if shown := ledger.Accrued(l.env, at.Add(step("later"))); shown != ledger.Charge(l.env.Size.RateMicros, base, base.Add(existed)) {
				t.Fatalf("%d is shown for %s", shown, existed)
			}
		}
		l.change(at.Add(step("failed")), become(fleet.Failed))
		end := at.Add(2 * time.Hour)
		l.change(end, become(fleet.Destroying))
		l.change(end, become(fleet.Destroyed))
		var sum int64
		var covered time.Duration
		var last time.Time
		for _, e := range l.entries {
			if e.From.Before(last) || !e.Until.After(e.From) {
				t.Fatalf("entry %+v is not after %s", e, last)
			}
			last, sum, covered = e.Until, sum+e.AmountMicros, covered+e.Until.Sub(e.From)
		}
		if want := ledger.Charge(l.env.Size.RateMicros, base, base.Add(existed)); covered != existed || sum != want {
			t.Fatalf("%d is booked for %s, want %d for %s: %+v", sum, covered, want, existed, l.entries)
		}
	})
}
