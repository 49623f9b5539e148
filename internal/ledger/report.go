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
	// Key is what the group has in common; empty for what belongs to nobody (of a user: pools' idle time).
	Key      string
	Currency string
	// Leased, Pool, Provisioning, Failed and Destroying are what the time was spent on; Total is their sum.
	Leased, Pool, Provisioning, Failed, Destroying, Total int64
	// Seconds of all of them, rounded down.
	Seconds int64
}

// keys are the ways to group by, except by day.
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

// within names somebody of a tenant; the tenant of everybody goes without saying.
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

// tenantsOwn are groups whose names tenants choose without regard to each other.
var tenantsOwn = map[string]bool{"project": true, "pull-request": true}

// apart gives keys that keep equal names of different tenants apart, where entries are of more than one: TENANT/NAME then,
// also for the tenant of everybody, as a project's own name may have slashes. What belongs to none stays one group.
func apart(key func(Entry) string, entries []Entry) func(Entry) string {
	tenants := map[string]bool{}
	for _, e := range entries {
		if key(e) != "" {
			tenants[e.Tenant] = true
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

// Group adds up what time has cost, by "user", "team", "tenant", "blueprint", "project", "pool",
// "day" (UTC), "host", "pull-request" or "environment"; "" gives the total. Only time from since to
// until counts, zero for no bound. Each group has a row for each currency; the dearest is first, days
// are in order. Projects and pull requests of more than one tenant are TENANT/NAME. What is held and given back does not
// count. CodeInvalid when by is none of them.
func Group(entries []Entry, by string, since, until time.Time) ([]Row, error) {
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
		key = apart(key, counted)
	}
	sums := map[[2]string]*sum{}
	for _, e := range counted {
		if by == "day" {
			eachDay(e, func(day string, part Entry) { add(sums, day, part) })
			continue
		}
		add(sums, key(e), e)
	}
	return sorted(sums, by == "day"), nil
}

// sum is a row in the making; what is less than a second is added up too.
type sum struct {
	Row
	rest time.Duration
}

func add(sums map[[2]string]*sum, key string, e Entry) {
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
	s.rest += e.Until.Sub(e.From)
	s.Seconds = plus(s.Seconds, int64(s.rest/time.Second))
	s.rest %= time.Second
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

// Clip is the part of a time entry from since to until, zero for no bound; false when there is
// none, or the entry is not of time. Parts that follow each other add up to the entry.
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

// share is what of an entry's amount falls before a moment in it.
func (e Entry) share(at time.Time) int64 {
	if !at.Before(e.Until) {
		return e.AmountMicros
	}
	// The amount may be a micro-unit less or more than the charge from From on, which is rounded down.
	return min(Charge(e.RateMicros, e.From, at), e.AmountMicros)
}

// eachDay cuts an entry at midnights, UTC.
func eachDay(e Entry, do func(day string, part Entry)) {
	for from := e.From.UTC(); from.Before(e.Until); {
		next := time.Date(from.Year(), from.Month(), from.Day()+1, 0, 0, 0, 0, time.UTC)
		if part, ok := Clip(e, from, next); ok {
			do(from.Format(time.DateOnly), part)
		}
		from = next
	}
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
