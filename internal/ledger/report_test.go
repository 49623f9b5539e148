package ledger_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
)

func entry(debit string, from time.Time, hours int, change func(*ledger.Entry)) ledger.Entry {
	e := ledger.Entry{
		EnvironmentID: "e1", Tenant: fleet.DefaultTenant, Team: "web", Owner: "ada", Project: "shop", PullRequest: "7",
		Pool: "builders", Blueprint: "build@1.0.0", Size: "small", Host: "h", Debit: debit, Credit: ledger.AccountCapacity,
		From: from, Until: from.Add(time.Duration(hours) * time.Hour), RateMicros: 100, AmountMicros: int64(100 * hours), Currency: "USD",
	}
	if change != nil {
		change(&e)
	}
	return e
}

// books are four entries around a midnight, and one that is not of time. base is noon.
func books() []ledger.Entry {
	return []ledger.Entry{
		entry(ledger.AccountLeased, base, 24, nil),
		entry(ledger.AccountPool, base, 2, func(e *ledger.Entry) { e.Owner, e.Team, e.Tenant, e.Project, e.PullRequest = "", "", "", "", "" }),
		entry(ledger.AccountFailed, base, 1, func(e *ledger.Entry) { e.Owner, e.Tenant, e.Blueprint = "ada", "other", "run@2.0.0" }),
		entry(ledger.AccountProvisioning, base.Add(48*time.Hour), 3, func(e *ledger.Entry) { e.Owner, e.Currency, e.PullRequest = "bob", "EUR", "" }),
		{Debit: ledger.AccountHeld, Credit: ledger.AccountBudget, AmountMicros: 1_000_000, Currency: "USD", Owner: "ada"},
	}
}

func TestGroup(t *testing.T) {
	const hour = 3600
	leased := func(key string, hours int64) ledger.Row {
		return ledger.Row{Key: key, Currency: "USD", Leased: 100 * hours, Total: 100 * hours, Seconds: hours * hour}
	}
	pool := func(key string) ledger.Row {
		return ledger.Row{Key: key, Currency: "USD", Pool: 200, Total: 200, Seconds: 2 * hour}
	}
	failed := func(key string) ledger.Row {
		return ledger.Row{Key: key, Currency: "USD", Failed: 100, Total: 100, Seconds: hour}
	}
	made := func(key string) ledger.Row {
		return ledger.Row{Key: key, Currency: "EUR", Provisioning: 300, Total: 300, Seconds: 3 * hour}
	}
	all := ledger.Row{Currency: "USD", Leased: 2400, Pool: 200, Failed: 100, Total: 2700, Seconds: 27 * hour}
	keyed := func(key string) ledger.Row { r := all; r.Key = key; return r }
	noon := ledger.Row{Key: "2026-03-01", Currency: "USD", Leased: 1200, Pool: 200, Failed: 100, Total: 1500, Seconds: 15 * hour}
	build := ledger.Row{Key: "build", Currency: "USD", Leased: 2400, Pool: 200, Total: 2600, Seconds: 26 * hour}
	for by, want := range map[string][]ledger.Row{
		"":             {all, made("")},
		"user":         {leased("ada", 24), made("bob"), pool(""), failed("other/ada")},
		"team":         {leased("web", 24), made("web"), pool(""), failed("other/web")},
		"tenant":       {leased("default", 24), made("default"), pool(""), failed("other")},
		"blueprint":    {build, made("build"), failed("run")},
		"pool":         {keyed("builders"), made("builders")},
		"host":         {keyed("h"), made("h")},
		"environment":  {keyed("e1"), made("e1")},
		"project":      {leased("default/shop", 24), made("default/shop"), pool(""), failed("other/shop")},
		"pull-request": {leased("default/shop#7", 24), made(""), pool(""), failed("other/shop#7")},
		"day":          {noon, leased("2026-03-02", 12), made("2026-03-03")},
	} {
		rows, err := ledger.Group(books(), by, time.Time{}, time.Time{})
		if err != nil {
			t.Errorf("by %q: %v", by, err)
		}
		if diff := cmp.Diff(want, rows); diff != "" {
			t.Errorf("by %q (-want +got):\n%s", by, diff)
		}
	}
	if _, err := ledger.Group(nil, "colour", time.Time{}, time.Time{}); fleet.CodeOf(err) != fleet.CodeInvalid {
		t.Errorf("by colour: %v", err)
	}
}

// TestProjectsOfTenantsApart: equal names of two tenants are two groups, also beside one that looks like theirs; a
// tenant alone has the names that it gave.
func TestProjectsOfTenantsApart(t *testing.T) {
	of := func(tenant, project, request string, from time.Time) ledger.Entry {
		return entry(ledger.AccountLeased, from, 1, func(e *ledger.Entry) { e.Tenant, e.Project, e.PullRequest = tenant, project, request })
	}
	late := base.Add(24 * time.Hour)
	entries := []ledger.Entry{
		of("acme", "shop", "7", base), of("acme", "shop", "7", late), of("acme", "", "", base), of("beta", "", "", late),
		of("beta", "shop", "7", base), of(fleet.DefaultTenant, "acme/shop", "7", base),
	}
	for name, c := range map[string]struct {
		by    string
		since time.Time
		want  map[string]int64
	}{
		"projects":             {"project", time.Time{}, map[string]int64{"acme/shop": 200, "beta/shop": 100, "default/acme/shop": 100, "": 200}},
		"pull requests":        {"pull-request", time.Time{}, map[string]int64{"acme/shop#7": 200, "beta/shop#7": 100, "default/acme/shop#7": 100, "": 200}},
		"one tenant's in time": {"project", late, map[string]int64{"shop": 100, "": 100}},
	} {
		rows, err := ledger.Group(entries, c.by, c.since, time.Time{})
		got := map[string]int64{}
		for _, r := range rows {
			got[r.Key] = r.Total
		}
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil || len(rows) != len(got) {
			t.Errorf("%s (-want +got):\n%s%v", name, diff, err)
		}
	}
}

func TestGroupInATime(t *testing.T) {
	rows, err := ledger.Group(books(), "", base.Add(30*time.Minute), base.Add(90*time.Minute))
	want := []ledger.Row{{Currency: "USD", Leased: 100, Pool: 100, Failed: 50, Total: 250, Seconds: 9000}}
	if diff := cmp.Diff(want, rows); diff != "" || err != nil {
		t.Errorf("an hour (-want +got):\n%s%v", diff, err)
	}
}

func TestGroupSaturates(t *testing.T) {
	dear := entry(ledger.AccountLeased, base, 1, func(e *ledger.Entry) { e.AmountMicros, e.RateMicros = math.MaxInt64, math.MaxInt64 })
	rows, err := ledger.Group([]ledger.Entry{dear, dear}, "user", time.Time{}, time.Time{})
	if err != nil || rows[0].Total != math.MaxInt64 {
		t.Errorf("%+v, %v", rows, err)
	}
}

// TestGroupLosesNothing: however cost is grouped or cut in time, it adds up to what was booked.
func TestGroupLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := randomLife(rapid.Uint64().Draw(t, "seed"), 0).entries
		total := int64(0)
		for _, e := range entries {
			total += e.AmountMicros
		}
		at := base.Add(time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "cut")))
		for _, by := range []string{"", "user", "day", "host"} {
			sum := int64(0)
			for _, bounds := range [][2]time.Time{{{}, at}, {at, {}}} {
				rows, err := ledger.Group(entries, by, bounds[0], bounds[1])
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range rows {
					if r.Leased+r.Pool+r.Provisioning+r.Failed+r.Destroying != r.Total || r.Total < 0 {
						t.Fatalf("by %q: %+v does not add up", by, r)
					}
					sum += r.Total
				}
			}
			if sum != total {
				t.Fatalf("by %q: %d of %d", by, sum, total)
			}
		}
	})
}
