package ledger_test

import (
	"math"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
)

var base = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestCharge(t *testing.T) {
	for _, c := range []struct {
		name        string
		rate        int64
		from, until time.Time
		want        int64
	}{
		{"an hour", 10_000, base, base.Add(time.Hour), 10_000},
		{"half an hour", 10_000, base, base.Add(30 * time.Minute), 5_000},
		{"a second, rounded down", 10_000, base, base.Add(time.Second), 2},
		{"a second that gives a whole one", 3_600, base, base.Add(time.Second), 1},
		{"just under a second", 3_600, base, base.Add(time.Second - 1), 0},
		{"a day of a rate per hour", 1_500_000, base, base.Add(24 * time.Hour), 36_000_000},
		{"no time", 10_000, base, base, 0},
		{"backwards", 10_000, base.Add(time.Hour), base, 0},
		{"not begun", 10_000, time.Time{}, base, 0},
		{"no end", 10_000, base, time.Time{}, 0},
		{"free", 0, base, base.Add(time.Hour), 0},
		{"a rate below nothing", -10_000, base, base.Add(time.Hour), 0},
		{"other zones, same moments", 10_000, base.In(time.FixedZone("", 9*3600)), base.Add(time.Hour), 10_000},
		{"the highest rate for an hour", math.MaxInt64, base, base.Add(time.Hour), math.MaxInt64},
		{"the highest rate for longer", math.MaxInt64, base, base.Add(time.Hour + 1), math.MaxInt64},
		{"the highest rate for 292 years", math.MaxInt64, base, base.Add(math.MaxInt64), math.MaxInt64},
		{"longer than a duration can tell", 3_600, base, base.AddDate(1000, 0, 0), math.MaxInt64 / int64(time.Second)},
	} {
		if got := ledger.Charge(c.rate, c.from, c.until); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// span draws two moments in order, seldom far apart.
func span(t *rapid.T, label string) (from, until time.Time) {
	year := int64(366 * 24 * time.Hour)
	length := rapid.OneOf(rapid.Int64Range(0, int64(time.Minute)), rapid.Int64Range(0, year), rapid.Int64Range(0, 200*year))
	from = base.Add(time.Duration(rapid.Int64Range(0, year).Draw(t, label+" from")))
	return from, from.Add(time.Duration(length.Draw(t, label+" length")))
}

var rates = rapid.OneOf(rapid.Int64Range(0, 100_000_000), rapid.Int64Min(0))

// TestChargeExact compares with arithmetic that cannot overflow.
func TestChargeExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rates.Draw(t, "rate")
		from, until := span(t, "span")
		exact := new(big.Int).Mul(big.NewInt(rate), big.NewInt(int64(until.Sub(from))))
		exact.Quo(exact, big.NewInt(int64(time.Hour)))
		want := int64(math.MaxInt64)
		if exact.IsInt64() {
			want = exact.Int64()
		}
		if got := ledger.Charge(rate, from, until); got != want {
			t.Fatalf("%d for %v at %d an hour, exactly %v", got, until.Sub(from), rate, exact)
		}
	})
}

// TestChargeSplits checks that cutting time into parts loses less than one
// micro-unit for each cut, and never gains.
func TestChargeSplits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Int64Range(0, 100_000_000).Draw(t, "rate")
		from, until := span(t, "span")
		whole := ledger.Charge(rate, from, until)
		cuts := rapid.IntRange(0, 20).Draw(t, "cuts")
		sum, at := int64(0), from
		for range cuts {
			next := at.Add(time.Duration(rapid.Int64Range(0, int64(until.Sub(at))).Draw(t, "part")))
			sum += ledger.Charge(rate, at, next)
			at = next
		}
		sum += ledger.Charge(rate, at, until)
		if sum > whole || whole-sum > int64(cuts) {
			t.Fatalf("%d whole, %d in parts after %d cuts", whole, sum, cuts)
		}
	})
}

// TestChargeMonotonic checks that more time or a higher rate never costs less.
func TestChargeMonotonic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rates.Draw(t, "rate")
		higher := rapid.Int64Min(rate).Draw(t, "higher rate")
		from, until := span(t, "span")
		_, later := span(t, "more")
		if later.Before(until) {
			until, later = later, until
		}
		charge := ledger.Charge(rate, from, until)
		if charge < 0 {
			t.Fatalf("a charge of %d", charge)
		}
		if more := ledger.Charge(rate, from, later); more < charge {
			t.Fatalf("%d until %v, %d until %v", charge, until, more, later)
		}
		if more := ledger.Charge(higher, from, until); more < charge {
			t.Fatalf("%d at %d an hour, %d at %d", charge, rate, more, higher)
		}
	})
}

// environment costs 3,600 an hour, that is 1 a second.
func environment() fleet.Environment {
	return fleet.Environment{
		Size:  fleet.Size{RateMicros: 3_600, Currency: "USD"},
		Lease: fleet.Lease{TTL: time.Hour, MaxTTL: 8 * time.Hour},
	}
}

func TestAccruedAndAtExpiry(t *testing.T) {
	pending := environment()
	creating := environment()
	creating.BilledFrom = base
	held := creating
	held.Lease.Start, held.Lease.End = base.Add(10*time.Second), base.Add(10*time.Second+time.Hour)
	gone := held
	gone.BilledUntil = base.Add(100 * time.Second)
	overdueGone := held
	overdueGone.BilledUntil = base.Add(2 * time.Hour)
	never := pending // dropped before anything was created
	never.State = fleet.Destroyed
	cutOff := creating // failed before it was handed over
	cutOff.BilledUntil = base.Add(7 * time.Second)
	dear := creating
	dear.Size.RateMicros = math.MaxInt64
	free := held
	free.Size.RateMicros = 0
	for _, c := range []struct {
		name              string
		env               fleet.Environment
		at                time.Duration
		accrued, atExpiry int64
	}{
		{"nothing created yet: the whole lease is to come", pending, time.Minute, 0, 3_600},
		{"being created: what it cost so far and the whole lease", creating, 5 * time.Second, 5, 3_605},
		{"handed over", held, 10 * time.Second, 10, 3_610},
		{"in the middle", held, 30 * time.Minute, 1_800, 3_610},
		{"at the end", held, time.Hour + 10*time.Second, 3_610, 3_610},
		{"overdue", held, 2 * time.Hour, 7_200, 7_200},
		{"gone before its time", gone, 200 * time.Second, 100, 100},
		{"gone long ago", gone, 1000 * time.Hour, 100, 100},
		{"gone after its time", overdueGone, 3 * time.Hour, 7_200, 7_200},
		{"a clock before its beginning", held, -time.Hour, 0, 3_610},
		{"gone before anything was created", never, time.Minute, 0, 0},
		{"gone before it was handed over", cutOff, time.Minute, 7, 7},
		{"the highest rate", dear, 2 * time.Hour, math.MaxInt64, math.MaxInt64},
		{"free", free, time.Hour, 0, 0},
	} {
		now := base.Add(c.at)
		if got := ledger.Accrued(c.env, now); got != c.accrued {
			t.Errorf("%s: accrued %d, want %d", c.name, got, c.accrued)
		}
		if got := ledger.AtExpiry(c.env, now); got != c.atExpiry {
			t.Errorf("%s: at expiry %d, want %d", c.name, got, c.atExpiry)
		}
	}
}

// TestAccruedOverALife checks that what an environment has cost only rises while
// it lives, never passes the forecast until its end, and stays once it is gone.
func TestAccruedOverALife(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		env := environment()
		env.Size.RateMicros = rapid.Int64Range(0, 100_000_000).Draw(t, "rate")
		seconds := rapid.Int64Range(0, 100_000)
		at := base
		step := func(label string) time.Time {
			at = at.Add(time.Duration(seconds.Draw(t, label)) * time.Second)
			return at
		}
		last := int64(0)
		rises := func() {
			if now := ledger.Accrued(env, at); now < last {
				t.Fatalf("the cost fell from %d to %d", last, now)
			} else {
				last = now
			}
		}
		rises()
		env.BilledFrom = step("created")
		rises()
		env.Lease.Start = step("handed over")
		env.Lease.End = env.Lease.Start.Add(env.Lease.TTL)
		forecast := ledger.AtExpiry(env, at)
		rises()
		step("used")
		rises()
		if at.Before(env.Lease.End) && last > forecast {
			t.Fatalf("cost %d before the end, forecast %d", last, forecast)
		}
		env.BilledUntil = step("gone")
		rises()
		step("later")
		if final := ledger.Accrued(env, at); final != last || ledger.AtExpiry(env, at) != final {
			t.Fatalf("the cost went from %d to %d after the end", last, final)
		}
	})
}
