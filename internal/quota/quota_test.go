package quota_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/quota"
)

var (
	tenant = fleet.Scope{Kind: fleet.ScopeTenant, Tenant: "acme"}
	team   = fleet.Scope{Kind: fleet.ScopeTeam, Tenant: "acme", Name: "web"}
	user   = fleet.Scope{Kind: fleet.ScopeUser, Tenant: "acme", Name: "ada"}
)

func n(v int64) *int64 { return &v }

func ttl(d time.Duration) *time.Duration { return &d }

// ask is for an hour of a small environment that costs 1.50.
var ask = quota.Ask{
	Blueprint: "build", Size: "small", MilliCPUs: 1500, MemoryMiB: 2048, TTL: time.Hour, Micros: 1_500_000, Currency: "EUR",
}

func TestDecide(t *testing.T) {
	used := fleet.Usage{
		Environments: 2, MilliCPUs: 3000, MemoryMiB: 4096, SecondsToday: 7200, MicrosToday: 3_000_000, MicrosThisMonth: 9_000_000,
	}
	for name, c := range map[string]struct {
		limits   fleet.Limits
		what     string // empty: admitted
		code     fleet.Code
		sentence string
	}{
		"no limits": {limits: fleet.Limits{}},
		"just within all": {limits: fleet.Limits{
			Environments: n(3), MilliCPUs: n(4500), MemoryMiB: n(6144), SecondsPerDay: n(10800), MicrosPerDay: n(4_500_000),
			MicrosPerMonth: n(10_500_000), MaxTTL: ttl(time.Hour), Blueprints: []string{"run", "build"}, Sizes: []string{"small"},
		}},
		"environments": {fleet.Limits{Environments: n(2)}, "environments", fleet.CodeQuota,
			"over the quota of team web: environments: asked 1, used 2, allowed 2"},
		"a quota below what is used": {fleet.Limits{Environments: n(1)}, "environments", fleet.CodeQuota,
			"over the quota of team web: environments: asked 1, used 2, allowed 1"},
		"none at all": {fleet.Limits{Environments: n(0)}, "environments", fleet.CodeQuota,
			"over the quota of team web: environments: asked 1, used 2, allowed 0"},
		"CPU": {fleet.Limits{MilliCPUs: n(4499)}, "CPU", fleet.CodeQuota, "over the quota of team web: CPU: asked 1.5, used 3, allowed 4.499"},
		"memory": {fleet.Limits{MemoryMiB: n(6143)}, "memory", fleet.CodeQuota,
			"over the quota of team web: memory: asked 2048 MiB, used 4096 MiB, allowed 6143 MiB"},
		"hours a day": {fleet.Limits{SecondsPerDay: n(10799)}, "leased time a day", fleet.CodeQuota,
			"over the quota of team web: leased time a day: asked 1h0m0s, used 2h0m0s, allowed 2h59m59s"},
		"money a day": {fleet.Limits{MicrosPerDay: n(4_499_999)}, "money a day", fleet.CodeQuota,
			"over the quota of team web: money a day: asked 1.50 EUR, used 3.00 EUR, allowed 4.499999 EUR"},
		"money a month": {fleet.Limits{MicrosPerMonth: n(10_499_999)}, "money a month", fleet.CodeQuota,
			"over the quota of team web: money a month: asked 1.50 EUR, used 9.00 EUR, allowed 10.499999 EUR"},
		"longest lease": {fleet.Limits{MaxTTL: ttl(time.Hour - 1)}, "longest lease", fleet.CodePolicy,
			"a lease of 1h0m0s exceeds the maximum of 59m59.999999999s for team web, including extensions"},
		"blueprint": {fleet.Limits{Blueprints: []string{"run"}}, "blueprint", fleet.CodePolicy, `team web may not use the blueprint "build"`},
		"size":      {fleet.Limits{Sizes: []string{"tiny", "big"}}, "size", fleet.CodePolicy, `team web may not use the size "small"`},
	} {
		t.Run(name, func(t *testing.T) {
			r := quota.Decide(ask, []fleet.ScopeUsage{{Scope: team, Limits: c.limits, Usage: used}})
			if c.what == "" {
				if r != nil {
					t.Fatalf("refused: %s", r.Sentence)
				}
				return
			}
			if r == nil {
				t.Fatal("admitted")
			}
			if r.What != c.what || r.Code != c.code || r.Sentence != c.sentence || r.Hint == "" || r.Scope != team {
				t.Errorf("refused: %+v, want %q %q %q", r, c.what, c.code, c.sentence)
			}
			if err := r.Err(); fleet.CodeOf(err) != c.code || err.Error() != c.sentence || err.Hint != r.Hint {
				t.Errorf("as an error: %+v", err)
			}
		})
	}
}

// TestWidestScopeFirst: the tenant's refusal is the one that is told, in whatever order the scopes come.
func TestWidestScopeFirst(t *testing.T) {
	none := fleet.Limits{Environments: n(0)}
	scopes := []fleet.ScopeUsage{{Scope: user, Limits: none}, {Scope: tenant, Limits: none}, {Scope: team, Limits: none}}
	if r := quota.Decide(ask, scopes); r == nil || r.Scope != tenant {
		t.Errorf("refused by %+v", r)
	}
	scopes[1].Limits = fleet.Limits{}
	if r := quota.Decide(ask, scopes); r == nil || r.Scope != team {
		t.Errorf("refused by %+v", r)
	}
	if scopes[0].Scope != user {
		t.Error("the caller's order was changed")
	}
}

// TestRefusalIsForMachinesToo: numbers are whole and say their unit.
func TestRefusalIsForMachinesToo(t *testing.T) {
	r := quota.Decide(ask, []fleet.ScopeUsage{{Scope: user, Limits: fleet.Limits{MilliCPUs: n(1000)}, Usage: fleet.Usage{MilliCPUs: 250}}})
	want := &quota.Refusal{
		Scope: user, What: "CPU", Asked: 1500, Used: 250, Allowed: 1000, Unit: "milli-cpus", Code: fleet.CodeQuota,
		Sentence: "over the quota of user ada: CPU: asked 1.5, used 0.25, allowed 1",
		Hint:     "request a smaller size, or ask the platform team to raise it: bothy quota set acme/user/ada --cpus N",
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("refusal (-want +got):\n%s", diff)
	}
}

func TestHugeNumbersDoNotOverflow(t *testing.T) {
	huge := ask
	huge.MilliCPUs, huge.Micros, huge.TTL = math.MaxInt64, math.MaxInt64, math.MaxInt64
	for name, l := range map[string]fleet.Limits{
		"CPU": {MilliCPUs: n(math.MaxInt64)}, "money a day": {MicrosPerDay: n(math.MaxInt64)},
	} {
		s := []fleet.ScopeUsage{{Scope: user, Limits: l, Usage: fleet.Usage{MilliCPUs: math.MaxInt64, MicrosToday: 1}}}
		if r := quota.Decide(huge, s); r == nil || r.What != name {
			t.Errorf("%s: %+v", name, r)
		}
		s[0].Usage = fleet.Usage{}
		if r := quota.Decide(huge, s); r != nil {
			t.Errorf("%s: refused though nothing is used: %s", name, r.Sentence)
		}
		s[0].Usage = fleet.Usage{MilliCPUs: math.MinInt64, MicrosToday: math.MinInt64}
		if r := quota.Decide(huge, s); r != nil {
			t.Errorf("%s: refused though less than nothing is used: %s", name, r.Sentence)
		}
	}
	s := []fleet.ScopeUsage{{Scope: user, Limits: fleet.Limits{SecondsPerDay: n(math.MaxInt64)}, Usage: fleet.Usage{SecondsToday: math.MaxInt64}}}
	if r := quota.Decide(ask, s); r == nil || !strings.Contains(r.Sentence, "9223372036854775807s") {
		t.Errorf("%+v", r)
	}
}

// TestWhatCostsNothingNeedsNoBudget: a free environment is admitted when the money is used up.
func TestWhatCostsNothingNeedsNoBudget(t *testing.T) {
	free := ask
	free.Micros = 0
	s := []fleet.ScopeUsage{{Scope: user, Limits: fleet.Limits{MicrosPerDay: n(5)}, Usage: fleet.Usage{MicrosToday: 9}}}
	if r := quota.Decide(free, s); r != nil {
		t.Errorf("refused: %s", r.Sentence)
	}
}

// TestHintsHelp: a hint says what can be done about it, and no more than helps.
func TestHintsHelp(t *testing.T) {
	const raise = "ask the platform team to raise it: bothy quota set acme/team/web --"
	used := fleet.Usage{Environments: 2, MilliCPUs: 3000, MemoryMiB: 4096, SecondsToday: 7200, MicrosToday: 3_000_000, MicrosThisMonth: 9_000_000}
	ext := quota.Extension{By: ask.TTL, Lifetime: ask.TTL, Micros: ask.Micros, Currency: ask.Currency}
	for name, c := range map[string]struct {
		limits         fleet.Limits
		hint, extended string
	}{
		"environments":    {fleet.Limits{Environments: n(2)}, "delete an unused environment (bothy down NAME), or " + raise + "environments N", ""},
		"none at all":     {fleet.Limits{Environments: n(0)}, raise + "environments N", ""},
		"memory":          {fleet.Limits{MemoryMiB: n(4097)}, "delete an unused environment (bothy down NAME), or " + raise + "memory N", ""},
		"too small a CPU": {fleet.Limits{MilliCPUs: n(1000)}, "request a smaller size, or " + raise + "cpus N", ""},
		"some hours left": {fleet.Limits{SecondsPerDay: n(7260)},
			"request a shorter lease (1m0s is left until the day ends at 00:00 UTC), or " + raise + "hours-per-day N",
			"extend it by less (1m0s is left), or " + raise + "hours-per-day N"},
		"no hours left": {fleet.Limits{SecondsPerDay: n(7200)},
			"delete what you do not need (bothy down NAME), wait until the day ends at 00:00 UTC, or " + raise + "hours-per-day N",
			"delete an unused environment (bothy down NAME), create a new one on another day (UTC), or " + raise + "hours-per-day N"},
		"some money left": {fleet.Limits{MicrosPerDay: n(4_000_000)},
			"request a shorter lease (1.00 EUR is left until the day ends at 00:00 UTC), or " + raise + "money-per-day N",
			"extend it by less (1.00 EUR is left), or " + raise + "money-per-day N"},
		"more than there is ever": {fleet.Limits{MicrosPerDay: n(1_000_000)},
			"delete what you do not need (bothy down NAME), wait until the day ends at 00:00 UTC and ask for a shorter lease then, or " + raise + "money-per-day N",
			"delete an unused environment (bothy down NAME), create a new one on another day (UTC), or " + raise + "money-per-day N"},
		"no money left this month": {fleet.Limits{MicrosPerMonth: n(8_999_999)},
			"delete what you do not need (bothy down NAME), wait until the month ends, on the first at 00:00 UTC, or " + raise + "money-per-month N",
			"delete an unused environment (bothy down NAME), create a new one in another month (UTC), or " + raise + "money-per-month N"},
		"no money ever": {fleet.Limits{MicrosPerDay: n(0)}, raise + "money-per-day N", raise + "money-per-day N"},
	} {
		scopes := []fleet.ScopeUsage{{Scope: team, Limits: c.limits, Usage: used}}
		if r := quota.Decide(ask, scopes); r == nil || r.Hint != c.hint {
			t.Errorf("%s: %+v, want the hint %q", name, r, c.hint)
		}
		if r := quota.CheckExtend(ext, scopes); (r == nil) != (c.extended == "") || r != nil && r.Hint != c.extended {
			t.Errorf("%s, extending: %+v, want the hint %q", name, r, c.extended)
		}
	}
}

func TestCheckExtend(t *testing.T) {
	ext := quota.Extension{By: 90 * time.Minute, Lifetime: 4 * time.Hour, Micros: 2_000_000, Currency: "EUR"}
	used := fleet.Usage{Environments: 9, SecondsToday: 3600, MicrosToday: 1_000_000, MicrosThisMonth: 1_000_000}
	for name, c := range map[string]struct {
		limits fleet.Limits
		what   string
	}{
		"no limits":                          {fleet.Limits{}, ""},
		"what it has already is not asked":   {fleet.Limits{Environments: n(1), Sizes: []string{"x"}, Blueprints: []string{"x"}}, ""},
		"the whole life counts":              {fleet.Limits{MaxTTL: ttl(4*time.Hour - 1)}, "longest lease"},
		"the whole life fits":                {fleet.Limits{MaxTTL: ttl(4 * time.Hour)}, ""},
		"only what is added is asked":        {fleet.Limits{SecondsPerDay: n(9000)}, ""},
		"a second less":                      {fleet.Limits{SecondsPerDay: n(8999)}, "leased time a day"},
		"money for what is added":            {fleet.Limits{MicrosPerDay: n(3_000_000)}, ""},
		"not enough of it":                   {fleet.Limits{MicrosPerDay: n(2_999_999)}, "money a day"},
		"not enough of it this month":        {fleet.Limits{MicrosPerMonth: n(2_999_999)}, "money a month"},
		"a part of a second counts as whole": {fleet.Limits{SecondsPerDay: n(3600)}, "leased time a day"},
	} {
		t.Run(name, func(t *testing.T) {
			e := ext
			if strings.HasPrefix(name, "a part") {
				e.By = 1
			}
			r := quota.CheckExtend(e, []fleet.ScopeUsage{{Scope: team, Limits: c.limits, Usage: used}})
			if (r == nil) != (c.what == "") || (r != nil && r.What != c.what) {
				t.Errorf("%+v, want %q", r, c.what)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	valid := fleet.Limits{
		Environments: n(0), MilliCPUs: n(64_000), MemoryMiB: n(1 << 20), SecondsPerDay: n(86_400), MicrosPerDay: n(0),
		MicrosPerMonth: n(1_000_000_000), MaxTTL: ttl(8 * time.Hour), Blueprints: []string{"build", "run"}, Sizes: []string{"small"},
	}
	if err := quota.Validate(valid); err != nil {
		t.Errorf("valid limits: %v", err)
	}
	for want, l := range map[string]fleet.Limits{
		"invalid limit environments: -1":                                              {Environments: n(-1)},
		"invalid limit milli_cpus: 9223372036854775807":                               {MilliCPUs: n(math.MaxInt64)},
		"invalid limit memory_mib: -9223372036854775808":                              {MemoryMiB: n(math.MinInt64)},
		"invalid limit seconds_per_day: -5":                                           {SecondsPerDay: n(-5)},
		"invalid limit micros_per_day: 9223372036854775807":                           {MicrosPerDay: n(math.MaxInt64)},
		"invalid limit micros_per_month: -1":                                          {MicrosPerMonth: n(-1)},
		"invalid maximum lease 0s":                                                    {MaxTTL: ttl(0)},
		"invalid maximum lease -1h0m0s":                                               {MaxTTL: ttl(-time.Hour)},
		"invalid maximum lease 2562047h47m16.854775807s":                              {MaxTTL: ttl(math.MaxInt64)},
		`"" is not the name of a blueprint`:                                           {Blueprints: []string{""}},
		`"a b" is not the name of a size`:                                             {Sizes: []string{"a b"}},
		`"build@1" has a version, but a limit applies to all versions of a blueprint`: {Blueprints: []string{"build@1"}},
		`the size "small" is listed twice`:                                            {Sizes: []string{"small", "small"}},
	} {
		err := quota.Validate(l)
		if fleet.CodeOf(err) != fleet.CodeInvalid || err.Error() != want {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestNeverOver: whatever is asked, extended and given back in whatever order, what is admitted
// stays within every limit, and what fits is never refused.
func TestNeverOver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.OneOf(rapid.Int64Range(0, 20), rapid.Int64Min(0))
		limit := func(label string) *int64 {
			if rapid.Bool().Draw(t, "limits "+label) {
				return n(amount.Draw(t, label))
			}
			return nil
		}
		scopes := []fleet.ScopeUsage{{Scope: tenant}, {Scope: user}}
		for i := range scopes {
			scopes[i].Limits = fleet.Limits{
				Environments: limit("environments"), MilliCPUs: limit("cpu"), MemoryMiB: limit("memory"),
				SecondsPerDay: limit("seconds"), MicrosPerDay: limit("day"), MicrosPerMonth: limit("month"),
			}
		}
		for range rapid.IntRange(1, 30).Draw(t, "requests") {
			a := quota.Ask{
				MilliCPUs: amount.Draw(t, "asks cpu"), MemoryMiB: amount.Draw(t, "asks memory"),
				TTL: time.Duration(amount.Draw(t, "asks ttl")), Micros: amount.Draw(t, "asks micros"),
			}
			extend := rapid.Bool().Draw(t, "extends")
			r := quota.Decide(a, scopes)
			if extend {
				r = quota.CheckExtend(quota.Extension{By: a.TTL, Lifetime: a.TTL, Micros: a.Micros}, scopes)
			}
			fits := true
			for i := range scopes {
				fits = fits && within(scopes[i], a, extend)
			}
			if fits != (r == nil) {
				t.Fatalf("it fits: %t, the refusal is %+v", fits, r)
			}
			if r != nil {
				continue
			}
			for i := range scopes {
				take(&scopes[i].Usage, a, extend)
			}
		}
	})
}

// within asks the same in unsigned numbers, of which two never overflow.
func within(s fleet.ScopeUsage, a quota.Ask, extend bool) bool {
	fits := func(asked, used int64, limit *int64) bool {
		return limit == nil || asked == 0 || uint64(asked)+uint64(used) <= uint64(*limit)
	}
	seconds := int64(a.TTL / time.Second)
	if a.TTL%time.Second != 0 {
		seconds++
	}
	l, u := s.Limits, s.Usage
	ok := fits(seconds, u.SecondsToday, l.SecondsPerDay) && fits(a.Micros, u.MicrosToday, l.MicrosPerDay) &&
		fits(a.Micros, u.MicrosThisMonth, l.MicrosPerMonth)
	return ok && (extend || fits(1, u.Environments, l.Environments) && fits(a.MilliCPUs, u.MilliCPUs, l.MilliCPUs) &&
		fits(a.MemoryMiB, u.MemoryMiB, l.MemoryMiB))
}

// take adds what was admitted; sums that nothing limits stop at the highest number.
func take(u *fleet.Usage, a quota.Ask, extend bool) {
	add := func(to *int64, v int64) { *to = int64(min(uint64(*to)+uint64(v), math.MaxInt64)) }
	add(&u.SecondsToday, int64((uint64(a.TTL)+uint64(time.Second)-1)/uint64(time.Second)))
	add(&u.MicrosToday, a.Micros)
	add(&u.MicrosThisMonth, a.Micros)
	if !extend {
		add(&u.Environments, 1)
		add(&u.MilliCPUs, a.MilliCPUs)
		add(&u.MemoryMiB, a.MemoryMiB)
	}
}
