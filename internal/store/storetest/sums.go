package storetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store"
)

func sums(t *testing.T, open Open) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("a report equals a full sum, seed ", seed), func(t *testing.T) { reportsEqualFullSums(t, open(t), seed) })
	}
	t.Run("an amount that is too large stays the largest", func(t *testing.T) { largestSums(t, open(t)) })
	t.Run("entries are summed once, whoever sums", func(t *testing.T) { summedOnce(t, open(t)) })
}

// groups are all ways to group by.
var groups = []string{"", "tenant", "team", "user", "project", "pull-request", "pool", "blueprint", "host", "day", "environment"}

// books is a model of the ledger: every entry that was ever booked.
type books struct {
	t      *testing.T
	s      *store.Store
	chance *rand.Rand
	now    time.Time
	envs   []fleet.Environment
	// ends is when each environment's last entry ended: entries of one do not overlap.
	ends map[string]time.Time
	all  []ledger.Entry
	// summed is how many of them are in the sums.
	summed int64
	// pruned is the first moment of which all entries are there.
	pruned time.Time
}

// book writes some entries of an environment: of its past, over midnights, late, of a bill that was closed before.
func (b *books) book() {
	env := b.envs[b.chance.IntN(len(b.envs))]
	var entries []ledger.Entry
	for range 1 + b.chance.IntN(4) {
		from := b.ends[env.ID].Add(time.Duration(b.chance.IntN(3*60*60)) * time.Second)
		until := from.Add(time.Duration(b.chance.Int64N(int64(8 * time.Hour)))).Truncate(time.Microsecond)
		if b.chance.IntN(8) == 0 {
			until = from.Add(time.Duration(b.chance.Int64N(int64(70 * time.Hour)))).Truncate(time.Microsecond)
		}
		rate := int64(b.chance.IntN(5_000_000))
		e := ledger.Entry{
			At: b.now, EnvironmentID: env.ID, Tenant: env.Tenant, Team: env.Team, Owner: env.Owner, Project: env.Project, PullRequest: env.PullRequest,
			Pool: b.pick("", "p"), Blueprint: b.pick("build@1", "build@2", "web@1"), Size: "small", Host: b.pick("h1", "h2"),
			Debit:  b.pick(ledger.AccountLeased, ledger.AccountPool, ledger.AccountProvisioning, ledger.AccountFailed, ledger.AccountDestroying),
			Credit: ledger.AccountCapacity, From: from, Until: until, RateMicros: rate, Currency: b.pick("USD", "EUR"),
			// A charge may be a micro-unit more than that of its own time.
			AmountMicros: ledger.Charge(rate, from, until) + int64(b.chance.IntN(2)),
		}
		if b.chance.IntN(10) == 0 {
			e = ledger.Entry{
				At: b.now, EnvironmentID: env.ID, Tenant: env.Tenant, Team: env.Team, Owner: env.Owner, Debit: ledger.AccountHeld,
				Credit: ledger.AccountBudget, AmountMicros: 77, Currency: "USD",
			}
		} else {
			b.ends[env.ID] = until
		}
		entries = append(entries, e)
	}
	mustBook(b.t, b.s, env.ID, entries...)
	for _, e := range entries {
		e.Seq = int64(len(b.all)) + 1
		b.all = append(b.all, e)
	}
}

func (b *books) pick(of ...string) string { return of[b.chance.IntN(len(of))] }

// moment is one of the time that is booked, often a midnight; sometimes none.
func (b *books) moment() time.Time {
	switch at := base.Add(time.Duration(b.chance.Int64N(int64(b.now.Sub(base)) + int64(48*time.Hour)))).Truncate(time.Microsecond); b.chance.IntN(4) {
	case 0:
		return time.Time{}
	case 1:
		return at.UTC().Truncate(24 * time.Hour)
	default:
		return at
	}
}

// check compares a report with the sum of all entries.
func (b *books) check() {
	b.t.Helper()
	by, tenant, since, until := groups[b.chance.IntN(len(groups))], b.pick("", "acme"), b.moment(), b.moment()
	if !until.IsZero() && until.Before(since) {
		since, until = until, since
	}
	c, err := b.s.Charges(b.t.Context(), store.ChargeFilter{Tenant: tenant, Since: since, Until: until, By: by})
	if err != nil {
		b.t.Fatal(err)
	}
	if moved := !c.Since.Equal(since) || !c.Until.Equal(until); moved && !since.Before(b.pruned) && (until.IsZero() || !until.Before(b.pruned)) {
		b.t.Fatalf("%s to %s was moved to %s to %s; entries are pruned until %s", since, until, c.Since, c.Until, b.pruned)
	}
	got, err := ledger.GroupWith(c.Totals, c.Entries, by, c.Since, c.Until)
	if err != nil {
		b.t.Fatal(err)
	}
	var entries []ledger.Entry
	for _, e := range b.all {
		if tenant != "" && e.Tenant != tenant {
			continue
		}
		if by == "environment" && !b.pruned.IsZero() {
			// Before, environments are not told apart.
			until := b.pruned
			if !c.Until.IsZero() && c.Until.Before(until) {
				until = c.Until
			}
			if old, ok := ledger.Clip(e, c.Since, until); ok && e.Seq <= b.summed {
				old.EnvironmentID = ""
				entries = append(entries, old)
			}
			since := b.pruned
			if c.Since.After(since) {
				since = c.Since
			}
			if e.Seq > b.summed {
				since = c.Since // it is booked late, and not summed yet
			}
			if later, ok := ledger.Clip(e, since, c.Until); ok {
				entries = append(entries, later)
			}
			continue
		}
		entries = append(entries, e)
	}
	since, until = c.Since, c.Until
	if by == "environment" && !b.pruned.IsZero() {
		since, until = time.Time{}, time.Time{} // they are cut already, and would be rounded anew
	}
	want, err := ledger.Group(entries, by, since, until)
	if err != nil {
		b.t.Fatal(err)
	}
	// A row of nothing tells nothing.
	nothing := func(r ledger.Row) bool { return r.Total == 0 && r.Seconds == 0 }
	if diff := cmp.Diff(slices.DeleteFunc(want, nothing), slices.DeleteFunc(got, nothing)); diff != "" {
		b.t.Fatalf("cost of %q by %q from %s to %s, pruned until %s (-full sum +report):\n%s", tenant, by, c.Since, c.Until, b.pruned, diff)
	}
}

// reportsEqualFullSums: whatever is summed and pruned meanwhile, a report is what a sum over every entry gives.
func reportsEqualFullSums(t *testing.T, s *store.Store, seed uint64) {
	b := &books{t: t, s: s, chance: rand.New(rand.NewPCG(seed, 18)), now: base, ends: map[string]time.Time{}} //nolint:gosec // a test's
	for i := range 5 {
		env := environment(i + 1)
		env.Tenant, env.Team, env.Owner = b.pick("acme", "zeta"), b.pick("core", "edge"), b.pick("ada", "bob")
		env.Project, env.PullRequest = b.pick("", "shop", "org/shop"), b.pick("", "7")
		env = mustAdmit(t, s, env)
		b.envs, b.ends[env.ID] = append(b.envs, env), base
	}
	for range 120 {
		switch n := b.chance.IntN(10); {
		case n < 4:
			b.book()
		case n < 5:
			b.now = b.now.Add(time.Duration(b.chance.Int64N(int64(20 * time.Hour))))
		case n < 7:
			before := b.now.Add(-time.Duration(b.chance.Int64N(int64(30 * time.Hour))))
			n, err := s.SumEntries(t.Context(), before, 1+b.chance.IntN(7))
			if err != nil {
				t.Fatal(err)
			}
			b.summed += int64(n)
		case n < 8:
			before := b.now.Add(-time.Duration(b.chance.Int64N(int64(90 * time.Hour))))
			if _, err := s.PruneEntries(t.Context(), before, 1+b.chance.IntN(5)); err != nil {
				t.Fatal(err)
			}
			if midnight := before.UTC().Truncate(24 * time.Hour); midnight.After(b.pruned) {
				b.pruned = midnight
			}
		default:
			b.check()
		}
		if b.chance.IntN(40) == 0 {
			b.end()
		}
	}
	for range 60 {
		b.check()
	}
	left, err := s.EntriesBy(t.Context(), store.EntryFilter{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d entries were booked, %d are left, pruned until %s", len(b.all), len(left), b.pruned.Format(time.DateOnly))
}

// end ends an environment, so that its entries may be pruned. It can be booked on all the same: a bill is opened again.
func (b *books) end() {
	env := b.envs[b.chance.IntN(len(b.envs))]
	_, err := b.s.Change(b.t.Context(), env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
		if e.State == fleet.Pending {
			e.State, e.DestroyedAt = fleet.Destroyed, base
		}
		return store.Writes{}, nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func largestSums(t *testing.T, s *store.Store) {
	env := mustAdmit(t, s, environment(1))
	for range 3 {
		mustBook(t, s, env.ID, leasedTime(env, base, base.Add(time.Hour), math.MaxInt64), leasedTime(env, base, base.Add(time.Hour), math.MaxInt64-1))
	}
	if n, err := s.SumEntries(t.Context(), base.Add(100*time.Hour), 100); err != nil || n != 6 {
		t.Fatalf("%d were summed, %v", n, err)
	}
	for _, by := range []string{"", "environment", "day"} {
		c, err := s.Charges(t.Context(), store.ChargeFilter{By: by})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := ledger.GroupWith(c.Totals, c.Entries, by, c.Since, c.Until)
		if err != nil || len(rows) != 1 || rows[0].Total != math.MaxInt64 || rows[0].Seconds != 6*3600 {
			t.Errorf("by %q: %+v, %v", by, rows, err)
		}
	}
}

// summedOnce: two that sum at the same time add no entry twice.
func summedOnce(t *testing.T, s *store.Store) {
	env := mustAdmit(t, s, environment(1))
	for i := range 50 {
		from := base.Add(time.Duration(i) * time.Hour)
		mustBook(t, s, env.ID, leasedTime(env, from, from.Add(time.Hour), 10))
	}
	done := make(chan error)
	for range 4 {
		go func() {
			for {
				n, err := s.SumEntries(t.Context(), base.Add(1000*time.Hour), 3)
				if err != nil || n == 0 {
					done <- err
					return
				}
			}
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	c, err := s.Charges(t.Context(), store.ChargeFilter{})
	if err != nil || len(c.Totals) != 1 || c.Totals[0].AmountMicros != 500 || len(c.Entries) != 0 {
		t.Fatalf("summed: %+v and %d entries, %v", c.Totals, len(c.Entries), err)
	}
}
