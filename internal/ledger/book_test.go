package ledger_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
)

// life is an environment whose every change is booked.
type life struct {
	env     fleet.Environment
	entries []ledger.Entry
}

func (l *life) change(at time.Time, change func(*fleet.Environment)) {
	after := l.env
	change(&after)
	entries, booked := ledger.Book(l.env, after, at)
	after.BookedUntil = booked
	l.env = after
	l.entries = append(l.entries, entries...)
}

func become(s fleet.State) func(*fleet.Environment) {
	return func(e *fleet.Environment) { e.State = s }
}

func sec(n int) time.Time { return base.Add(time.Duration(n) * time.Second) }

// TestBookALife: a pool's member from its making to its end, every second to one account and payer.
func TestBookALife(t *testing.T) {
	l := life{env: environment()}
	l.env.ID, l.env.Pool, l.env.State = "e1", "builders", fleet.Pending
	l.change(sec(0), become(fleet.Provisioning))
	l.change(sec(2), func(e *fleet.Environment) { e.BilledFrom, e.Host = sec(1), "h" }) // found late: since sec(1)
	l.change(sec(5), become(fleet.Warm))
	l.change(sec(9), func(e *fleet.Environment) { e.Paused = true })
	l.change(sec(10), func(e *fleet.Environment) {
		e.State, e.Tenant, e.Team, e.Owner, e.Project, e.PullRequest = fleet.Leased, "acme", "web", "ada", "shop", "7"
		e.Lease.Start, e.Lease.End = sec(10), sec(70)
	})
	l.change(sec(30), func(e *fleet.Environment) { e.Lease.End = sec(90) })
	l.change(sec(50), become(fleet.Failed))
	l.change(sec(51), become(fleet.Destroying))
	l.change(sec(54), func(e *fleet.Environment) { e.State, e.BilledUntil = fleet.Destroyed, sec(53) })
	l.change(sec(99), func(e *fleet.Environment) { e.Reason = "long gone" })

	type row struct {
		account, owner, host, pool string
		from, until                time.Time
		micros                     int64
	}
	want := []row{
		// The second before it was found is charged to what the row was then: on no host.
		{ledger.AccountProvisioning, "", "", "builders", sec(1), sec(2), 1},
		{ledger.AccountProvisioning, "", "h", "builders", sec(2), sec(5), 3},
		{ledger.AccountPool, "", "h", "builders", sec(5), sec(10), 5},
		{ledger.AccountLeased, "ada", "h", "builders", sec(10), sec(50), 40},
		{ledger.AccountFailed, "ada", "h", "builders", sec(50), sec(51), 1},
		{ledger.AccountDestroying, "ada", "h", "builders", sec(51), sec(53), 2},
	}
	var got []row
	for _, e := range l.entries {
		got = append(got, row{e.Debit, e.Owner, e.Host, e.Pool, e.From, e.Until, e.AmountMicros})
		if e.Credit != ledger.AccountCapacity || e.EnvironmentID != "e1" || e.RateMicros != 3_600 || e.Currency != "USD" {
			t.Errorf("entry %+v", e)
		}
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(row{})); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestOpen(t *testing.T) {
	env := environment()
	env.State = fleet.Leased
	if _, ok := ledger.Open(env, sec(5)); ok {
		t.Error("something is open before anything was created")
	}
	env.BilledFrom = sec(1)
	if e, ok := ledger.Open(env, sec(5)); !ok || e.AmountMicros != 4 || !e.From.Equal(sec(1)) || !e.Until.Equal(sec(5)) {
		t.Errorf("open %+v", e)
	}
	env.BookedUntil = sec(3)
	if e, ok := ledger.Open(env, sec(5)); !ok || e.AmountMicros != 2 || !e.From.Equal(sec(3)) {
		t.Errorf("open %+v", e)
	}
	if _, ok := ledger.Open(env, sec(2)); ok {
		t.Error("a clock that was set back opens time that is booked")
	}
	env.State, env.BilledUntil, env.BookedUntil = fleet.Destroyed, sec(4), sec(4)
	if _, ok := ledger.Open(env, sec(9)); ok {
		t.Error("one that is gone has open time")
	}
}

func TestAccountOf(t *testing.T) {
	want := []string{
		ledger.AccountProvisioning, ledger.AccountProvisioning, ledger.AccountPool, ledger.AccountLeased,
		ledger.AccountFailed, ledger.AccountDestroying, "",
	}
	for i, s := range fleet.States() {
		if got := ledger.AccountOf(fleet.Environment{State: s}); got != want[i] {
			t.Errorf("%s is charged to %q, want %q", s, got, want[i])
		}
	}
}

func TestRateAt(t *testing.T) {
	rates := []fleet.Rate{
		{Blueprint: "build", Size: "small", From: sec(100), Micros: 3},
		{Blueprint: "build", Size: "small", From: sec(0), Micros: 1},
		{Blueprint: "build", Size: "small", From: sec(50), Micros: 2},
		{Blueprint: "build", Size: "big", From: sec(0), Micros: 9},
		{Blueprint: "run", Size: "small", From: sec(0), Micros: 8},
	}
	for at, want := range map[int]int64{-1: 0, 0: 1, 49: 1, 50: 2, 99: 2, 100: 3, 5000: 3} {
		r, ok := ledger.RateAt(rates, "build", "small", sec(at))
		if r.Micros != want || ok != (want != 0) {
			t.Errorf("at %d: %+v, %t, want %d", at, r, ok, want)
		}
	}
}

// randomLife draws any legal walk of the state machine, with payers, hosts and rates that change,
// and what was created found late. Times are shifted by up to slack nanoseconds each.
func randomLife(seed uint64, slack int64) *life {
	rng := rand.New(rand.NewPCG(seed, 3))
	late := rand.New(rand.NewPCG(seed, uint64(slack)))
	l := &life{env: environment()}
	l.env.ID, l.env.State, l.env.Pool = "e", fleet.Pending, []string{"", "p"}[rng.IntN(2)]
	l.env.Size.RateMicros = rng.Int64N(100_000_000)
	at := base
	for l.env.State != fleet.Destroyed {
		at = at.Add(2*time.Second + time.Duration(rng.Int64N(int64(time.Hour))))
		when := at
		if slack > 0 {
			when = at.Add(time.Duration(late.Int64N(slack)))
		}
		r, next, billed := rng.IntN(6), rng.IntN(3), time.Duration(rng.Int64N(int64(time.Second)))
		l.change(when, func(e *fleet.Environment) {
			moves := slices.DeleteFunc(fleet.States(), func(s fleet.State) bool { return !e.State.CanBecome(s) })
			switch {
			case r == 0:
				e.Reason = "nothing that costs"
			case r == 1:
				e.Owner, e.Team = []string{"ada", "bob"}[next%2], "web"
			case r == 2 && e.State == fleet.Warm:
				e.Size.RateMicros += int64(next) * 1_000
			default:
				e.State = moves[next%len(moves)]
				if e.State == fleet.Leased {
					e.Size.RateMicros /= 2
				}
			}
			if e.BilledFrom.IsZero() && e.State != fleet.Pending && next > 0 {
				e.BilledFrom = at.Add(-billed)
			}
			if e.State == fleet.Destroyed && !e.BilledFrom.IsZero() {
				e.BilledUntil = when
			}
		})
	}
	return l
}

// TestEntriesTile is the ledger's promise: entries of an environment follow each other without gap
// or overlap from its first second to its last, at one rate they add up to the charge for the whole,
// and each is charged to exactly one of the five accounts.
func TestEntriesTile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := randomLife(rapid.Uint64().Draw(t, "seed"), 0)
		if l.env.BilledFrom.IsZero() {
			if len(l.entries) != 0 {
				t.Fatalf("nothing was created, but %+v is charged", l.entries)
			}
			return
		}
		at := l.env.BilledFrom
		exact, total, rates := int64(0), int64(0), 0
		for i, e := range l.entries {
			if !e.From.Equal(at) || !e.Until.After(e.From) || e.AmountMicros < 0 || e.Debit == "" {
				t.Fatalf("entry %d does not follow %s: %+v", i, at, e)
			}
			at = e.Until
			total += e.AmountMicros
			if i == 0 || e.RateMicros != l.entries[i-1].RateMicros {
				rates++
			}
			exact += ledger.Charge(e.RateMicros, e.From, e.Until)
		}
		if !at.Equal(l.env.BilledUntil) {
			t.Fatalf("booked until %s, it was there until %s", at, l.env.BilledUntil)
		}
		whole := ledger.Charge(l.env.Size.RateMicros, l.env.BilledFrom, l.env.BilledUntil)
		if rates == 1 && l.entries[0].RateMicros == l.env.Size.RateMicros && total != whole {
			t.Fatalf("entries of one rate add up to %d, the whole is %d", total, whole)
		}
		if total < exact-int64(rates) || total > exact+int64(len(l.entries)) {
			t.Fatalf("entries add up to %d, each alone to %d, with %d rates", total, exact, rates)
		}
	})
}

// TestReplay: the accounts balance, capacity is the sum of the five, and replaying in any order and
// in any parts gives the same sums.
func TestReplay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var entries []ledger.Entry
		for range rapid.IntRange(1, 4).Draw(t, "environments") {
			entries = append(entries, randomLife(rapid.Uint64().Draw(t, "seed"), 0).entries...)
		}
		entries = append(entries, ledger.Entry{Debit: ledger.AccountHeld, Credit: ledger.AccountBudget, AmountMicros: 500, Currency: "USD"})
		sums := ledger.Replay(entries)
		var debit, credit, five, capacity int64
		for _, s := range sums {
			debit, credit = debit+s.Debit, credit+s.Credit
			switch s.Account {
			case ledger.AccountCapacity:
				capacity = s.Credit
			case ledger.AccountHeld, ledger.AccountBudget:
			default:
				five += s.Debit
			}
		}
		if debit != credit || five != capacity {
			t.Fatalf("debits %d, credits %d; five accounts %d, capacity %d", debit, credit, five, capacity)
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "cuts"), 1))
		parts := cut(rng, entries)
		rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		if diff := cmp.Diff(sums, ledger.Replay(parts)); diff != "" {
			t.Fatalf("replayed in parts (-whole +parts):\n%s", diff)
		}
	})
}

// cut splits time entries at random moments.
func cut(rng *rand.Rand, entries []ledger.Entry) (parts []ledger.Entry) {
	for _, e := range entries {
		if e.From.IsZero() {
			parts = append(parts, e)
			continue
		}
		middle := e.From.Add(time.Duration(rng.Int64N(int64(e.Until.Sub(e.From)))))
		for _, bounds := range [][2]time.Time{{{}, middle}, {middle, {}}} {
			if part, ok := ledger.Clip(e, bounds[0], bounds[1]); ok {
				parts = append(parts, part)
			}
		}
	}
	return parts
}

// TestCrashCostsASecond is promise 16: changes that are recorded up to a second late, after a crash,
// move each account by no more than the price of a second for each transition.
func TestCrashCostsASecond(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		straight, crashed := randomLife(seed, 0), randomLife(seed, int64(time.Second))
		highest := int64(0)
		for _, e := range slices.Concat(straight.entries, crashed.entries) {
			highest = max(highest, e.RateMicros)
		}
		transitions := int64(len(straight.entries) + 1)
		most := transitions*(highest/3600+1) + transitions
		sums := map[string]int64{}
		for _, s := range ledger.Replay(straight.entries) {
			sums[s.Account] += s.Debit - s.Credit
		}
		for _, s := range ledger.Replay(crashed.entries) {
			sums[s.Account] -= s.Debit - s.Credit
		}
		for account, off := range sums {
			if off > most || off < -most {
				t.Fatalf("%s is off by %d after %d transitions, at most %d is allowed", account, off, transitions, most)
			}
		}
	})
}

// TestAccruedIsWhatIsBooked: what a holder is shown is what the entries since the claim and the open part add up to.
func TestAccruedIsWhatIsBooked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := base
		later := func(label string) time.Time {
			at = at.Add(time.Duration(1 + rapid.Int64Range(0, int64(time.Hour)).Draw(t, label)))
			return at
		}
		l := life{env: environment()}
		l.env.State, l.env.Pool, l.env.BilledFrom = fleet.Provisioning, "p", base
		l.env.Size.RateMicros = rapid.Int64Range(0, 100_000_000).Draw(t, "rate")
		l.change(later("warm"), become(fleet.Warm))
		warm := len(l.entries)
		claimed := later("claimed")
		l.change(claimed, func(e *fleet.Environment) {
			e.State, e.Owner = fleet.Leased, "ada"
			e.Size.RateMicros += rapid.Int64Range(0, 1000).Draw(t, "new rate")
			e.Lease.Start, e.Lease.End = claimed, claimed.Add(time.Hour)
		})
		idle := len(l.entries) - warm
		l.change(later("failed"), become(fleet.Failed))
		now := later("now")
		sum := int64(0)
		for _, e := range l.entries[warm+idle:] {
			sum += e.AmountMicros
		}
		open, _ := ledger.Open(l.env, now)
		if got := ledger.Accrued(l.env, now); got != sum+open.AmountMicros {
			t.Fatalf("accrued %d, booked %d and open %d", got, sum, open.AmountMicros)
		}
	})
}
