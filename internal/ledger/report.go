package ledger

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Row is the cost of one group, in one currency. Amounts are in millionths of it.
type Row struct {
	// Key is the group's common value; empty for cost without one (grouped by user: the idle time of pools).
	Key      string
	Currency string
	// Leased, Pool, Provisioning, Failed and Destroying are the cost by purpose; Total is their sum.
	Leased, Pool, Provisioning, Failed, Destroying, Total int64
	// Seconds are the total time, rounded down.
	Seconds int64
}

// keys are the ways to group, except by day.
var keys = map[string]func(Entry) string{
	"":             func(Entry) string { return "" },
	"tenant":       func(e Entry) string { return e.Tenant },
	"team":         func(e Entry) string { return within(e.Tenant, e.Team) },
	"user":         func(e Entry) string { return within(e.Tenant, e.Owner) },
	"project":      project,
	"pull-request": pullRequest,
	"pool":         func(e Entry) string { return e.Pool },
	"blueprint":    func(e Entry) string { name, _, _ := strings.Cut(e.Blueprint, "@"); return name },
	"host":         func(e Entry) string { return e.Host },
	"environment":  func(e Entry) string { return e.EnvironmentID },
}

// within names a user or team of a tenant; the default tenant is left out.
func within(tenant, name string) string {
	if tenant == "" || tenant == fleet.DefaultTenant {
		return name
	}
	return tenant + "/" + name
}

func project(e Entry) string { return e.Project }

func pullRequest(e Entry) string {
	if e.PullRequest == "" {
		return ""
	}
	return e.Project + "#" + e.PullRequest
}

// tenantsOwn are groups whose names tenants choose independently.
var tenantsOwn = map[string]bool{"project": true, "pull-request": true}

// apart returns keys that keep equal names of different tenants apart when the entries are of more than one tenant: TENANT/NAME, also for
// the default tenant, because a project's name may have slashes. Cost without a key stays one group.
func apart(key func(Entry) string, entries []Entry, totals []Total) func(Entry) string {
	tenants := map[string]bool{}
	for _, e := range entries {
		if key(e) != "" {
			tenants[e.Tenant] = true
		}
	}
	for _, t := range totals {
		if key(t.Entry) != "" {
			tenants[t.Tenant] = true
		}
	}
	if len(tenants) < 2 {
		return key
	}
	return func(e Entry) string {
		name := key(e)
		if name == "" {
			return ""
		}
		return e.Tenant + "/" + name
	}
}

// Group adds up the cost of time by "user", "team", "tenant", "blueprint", "project", "pool", "day" (UTC), "host", "pull-request" or
// "environment"; "" returns the total. Only time from since to until counts, zero for no bound. Each group has one row per currency; the
// highest cost is first, days are in order. Projects and pull requests of more than one tenant are TENANT/NAME. Amounts held and released
// do not count. CodeInvalid: by is none of these.
func Group(entries []Entry, by string, since, until time.Time) ([]Row, error) {
	return GroupWith(nil, entries, by, since, until)
}

// Total is the sum of entries of one UTC day, or of another part of the period.
type Total struct {
	// Day is the first moment of the day; zero when days are not kept apart.
	Day time.Time
	// Entry has the common values of the entries, as far as these are kept apart, and the sum of their amounts. It has no time of its
	// own.
	Entry
	// TimeMicros is their time, in microseconds.
	TimeMicros int64
}

// GroupWith is Group for totals that fall wholly into the period, plus entries that are not in them.
func GroupWith(totals []Total, entries []Entry, by string, since, until time.Time) ([]Row, error) {
	key, known := keys[by]
	if by != "day" && !known {
		return nil, fleet.Errorf(fleet.CodeInvalid, "cost cannot be grouped by %q", by).
			WithHint("group by user, team, tenant, blueprint, project, pool, day, host, pull-request or environment")
	}
	counted := make([]Entry, 0, len(entries))
	for _, e := range entries {
		if e, ok := Clip(e, since, until); ok {
			counted = append(counted, e)
		}
	}
	if tenantsOwn[by] {
		key = apart(key, counted, totals)
	}
	sums := map[[2]string]*sum{}
	if by == "day" {
		for _, e := range entries {
			// Cut as a whole: parts of parts would be rounded again.
			eachDay(e, since, until, func(day string, part Entry) { add(sums, day, part, timeOf(part)) })
		}
	} else {
		for _, e := range counted {
			add(sums, key(e), e, timeOf(e))
		}
	}
	for _, t := range totals {
		if by == "day" {
			add(sums, t.Day.UTC().Format(time.DateOnly), t.Entry, t.TimeMicros)
			continue
		}
		add(sums, key(t.Entry), t.Entry, t.TimeMicros)
	}
	return sorted(sums, by == "day"), nil
}

// sum is a row in progress; fractions of a second are added up, too.
type sum struct {
	Row
	rest int64 // microseconds
}

// timeOf is an entry's time in microseconds, its stored precision.
func timeOf(e Entry) int64 { return e.Until.Sub(e.From).Microseconds() }

const microsPerSecond = int64(time.Second / time.Microsecond)

// add adds an entry's amount, and its time in microseconds, to a group.
func add(sums map[[2]string]*sum, key string, e Entry, micros int64) {
	at := [2]string{key, e.Currency}
	s := sums[at]
	if s == nil {
		s = &sum{Row: Row{Key: key, Currency: e.Currency}}
		sums[at] = s
	}
	field := map[string]*int64{
		AccountLeased: &s.Leased, AccountPool: &s.Pool, AccountProvisioning: &s.Provisioning,
		AccountFailed: &s.Failed, AccountDestroying: &s.Destroying,
	}[e.Debit]
	if field == nil {
		return
	}
	*field = plus(*field, e.AmountMicros)
	s.Total = plus(s.Total, e.AmountMicros)
	s.rest += micros
	s.Seconds = plus(s.Seconds, s.rest/microsPerSecond)
	s.rest %= microsPerSecond
}

func sorted(sums map[[2]string]*sum, byKey bool) []Row {
	rows := make([]Row, 0, len(sums))
	for _, s := range sums {
		rows = append(rows, s.Row)
	}
	slices.SortFunc(rows, func(a, b Row) int {
		named := cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Currency, b.Currency))
		if byKey {
			return named
		}
		return cmp.Or(cmp.Compare(b.Total, a.Total), named)
	})
	return rows
}

// Clip is the part of a time entry from since to until, zero for no bound; false when there is none, or the entry has no time.
// Consecutive parts add up to the entry.
func Clip(e Entry, since, until time.Time) (Entry, bool) {
	from, to := e.From, e.Until
	if since.After(from) {
		from = since
	}
	if !until.IsZero() && until.Before(to) {
		to = until
	}
	if e.From.IsZero() || !to.After(from) {
		return Entry{}, false
	}
	amount := e.share(to) - e.share(from)
	e.From, e.Until, e.AmountMicros = from, to, amount
	return e, true
}

// share is the part of an entry's amount before a moment in it.
func (e Entry) share(at time.Time) int64 {
	if !at.Before(e.Until) {
		return e.AmountMicros
	}
	// The amount may differ by a micro-unit from the charge from From on, which is rounded down.
	return min(Charge(e.RateMicros, e.From, at), e.AmountMicros)
}

// EachDay cuts a time entry at midnights, UTC, and calls do with each part; together they are the entry.
func EachDay(e Entry, do func(part Entry)) {
	eachDay(e, time.Time{}, time.Time{}, func(_ string, part Entry) { do(part) })
}

// eachDay cuts the part of an entry from since to until, zero for no bound, at midnights, UTC.
func eachDay(e Entry, since, until time.Time, do func(day string, part Entry)) {
	whole, _ := Clip(e, since, until)
	for from := whole.From.UTC(); from.Before(whole.Until); {
		next := time.Date(from.Year(), from.Month(), from.Day()+1, 0, 0, 0, 0, time.UTC)
		if part, ok := Clip(e, from, earliest(next, whole.Until)); ok {
			do(from.Format(time.DateOnly), part)
		}
		from = next
	}
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// plus adds and saturates instead of overflowing.
func plus(a, b int64) int64 {
	switch {
	case b > 0 && a > math.MaxInt64-b:
		return math.MaxInt64
	case b < 0 && a < math.MinInt64-b:
		return math.MinInt64
	}
	return a + b
}
