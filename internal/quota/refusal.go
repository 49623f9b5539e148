package quota

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Refusal is why a request is not admitted.
type Refusal struct {
	// Scope is whose limit refuses it.
	Scope fleet.Scope
	// What is the limit's name for people: "environments", "CPU", "memory", "leased time a day",
	// "money a day", "money a month", "longest lease", "blueprint", "size".
	What string
	// Asked, Used and Allowed are in Unit. All are zero and Unit is empty for a blueprint or size that is not allowed.
	Asked, Used, Allowed int64
	Unit                 string
	// Currency is that of micros.
	Currency string
	// Period is that of a limit of what is spent: PeriodDay or PeriodMonth, UTC; empty for what may be had at once.
	Period string
	// Code is CodeQuota for what is used up, CodePolicy for what is never allowed.
	Code fleet.Code
	// Sentence says what is wrong, Hint the next thing to do.
	Sentence, Hint string
}

// The periods of limits, as people name them.
const (
	PeriodDay   = "day"
	PeriodMonth = "month"
)

// Text writes an amount in the refusal's unit as its sentence does.
func (r *Refusal) Text(amount int64) string { return amountText(amount, r.Unit, r.Currency) }

func amountText(amount int64, unit, currency string) string {
	switch unit {
	case UnitMicros:
		return Money(amount, currency)
	case UnitSeconds:
		return seconds(amount)
	case UnitMilliCPUs:
		return decimal(amount, 3, 0)
	case UnitMiB:
		return plain(amount) + " MiB"
	}
	return plain(amount)
}

// Err gives the refusal as an error.
func (r *Refusal) Err() *fleet.Error {
	return &fleet.Error{Code: r.Code, Sentence: r.Sentence, Hint: r.Hint}
}

// The units of refusals; micros are millionths of a currency.
const (
	UnitEnvironments = "environments"
	UnitMilliCPUs    = "milli-cpus"
	UnitMiB          = "MiB"
	UnitSeconds      = "seconds"
	UnitMicros       = "micros"
)

// measure is what a limit counts, and in which period that is spent.
type measure struct{ what, unit, period, currency string }

var (
	environments = measure{what: "environments", unit: UnitEnvironments}
	cpus         = measure{what: "CPU", unit: UnitMilliCPUs}
	memory       = measure{what: "memory", unit: UnitMiB}
	leasedTime   = measure{what: "leased time a day", unit: UnitSeconds, period: PeriodDay}
)

func money(period, currency string) measure {
	return measure{"money a " + period, UnitMicros, period, currency}
}

// flags of `bothy quota set`, by what they limit.
var flags = map[string]string{
	environments.what: "environments", cpus.what: "cpus", memory.what: "memory", leasedTime.what: "hours-per-day",
	money(PeriodDay, "").what: "money-per-day", money(PeriodMonth, "").what: "money-per-month",
}

// raise is the way out that there always is.
func (r *Refusal) raise() string {
	return fmt.Sprintf("ask the platform team to raise it: bothy quota set %s --%s N", r.Scope, flags[r.What])
}

func overLimit(scope fleet.Scope, of measure, asked, used, allowed int64) *Refusal {
	r := &Refusal{
		Scope: scope, What: of.what, Asked: asked, Used: used, Allowed: allowed, Unit: of.unit,
		Currency: of.currency, Period: of.period, Code: fleet.CodeQuota,
	}
	r.Sentence = fmt.Sprintf("over the quota of %s: %s: asked %s, used %s, allowed %s",
		people(scope), of.what, r.Text(asked), r.Text(used), r.Text(allowed))
	switch {
	case allowed == 0:
		r.Hint = r.raise()
	case of.period != "" && used >= allowed:
		wait := ends[of.period]
		if asked > allowed {
			wait += " and ask for a shorter lease then"
		}
		r.Hint = fmt.Sprintf("delete what you do not need (bothy down NAME), wait until %s, or %s", wait, r.raise())
	case of.period != "":
		r.Hint = fmt.Sprintf("request a shorter lease (%s is left until %s), or %s", r.Text(allowed-used), ends[of.period], r.raise())
	case asked > allowed:
		r.Hint = "request a smaller size, or " + r.raise()
	default:
		r.Hint = "delete an unused environment (bothy down NAME), or " + r.raise()
	}
	return r
}

// ends says when a period does.
var ends = map[string]string{
	PeriodDay:   "the day ends at 00:00 UTC",
	PeriodMonth: "the month ends, on the first at 00:00 UTC",
}

// ofExtension gives the refusal of an extension the hint that helps it: it counts in the period in which its environment
// was asked for, so to wait does not.
func (r *Refusal) ofExtension() *Refusal {
	if r == nil || r.Period == "" || r.Allowed == 0 {
		return r
	}
	if r.Used < r.Allowed {
		r.Hint = fmt.Sprintf("extend it by less (%s is left), or %s", r.Text(r.Allowed-r.Used), r.raise())
		return r
	}
	another := map[string]string{PeriodDay: "on another day", PeriodMonth: "in another month"}[r.Period]
	r.Hint = fmt.Sprintf("delete an unused environment (bothy down NAME), create a new one %s (UTC), or %s", another, r.raise())
	return r
}

func tooLong(scope fleet.Scope, asked, allowed time.Duration) *Refusal {
	return &Refusal{
		Scope: scope, What: "longest lease", Asked: wholeSeconds(asked), Allowed: wholeSeconds(allowed), Unit: UnitSeconds,
		Code:     fleet.CodePolicy,
		Sentence: fmt.Sprintf("a lease of %s exceeds the maximum of %s for %s, including extensions", asked, allowed, people(scope)),
		Hint:     fmt.Sprintf("request at most %s", allowed),
	}
}

// listed refuses a name that is not in a list; an empty list allows all.
func listed(scope fleet.Scope, what, name string, allowed []string) *Refusal {
	if len(allowed) == 0 || slices.Contains(allowed, name) {
		return nil
	}
	return &Refusal{
		Scope: scope, What: what, Code: fleet.CodePolicy,
		Sentence: fmt.Sprintf("%s may not use the %s %q", people(scope), what, name),
		Hint:     "use one of: " + strings.Join(allowed, ", "),
	}
}

// people is how a sentence names a scope.
func people(s fleet.Scope) string {
	if s.Kind == fleet.ScopeTenant {
		return "tenant " + s.Tenant
	}
	return s.Kind + " " + s.Name
}

// Money writes an amount of millionths of a currency, which may be empty, exactly: "1.50 EUR".
func Money(micros int64, currency string) string {
	return strings.TrimSpace(decimal(micros, 6, 2) + " " + currency)
}

func plain(n int64) string { return strconv.FormatInt(n, 10) }

// seconds writes hours as people do, and what is too long for a duration in plain seconds.
func seconds(n int64) string {
	const most = int64(1<<63-1) / int64(time.Second)
	if n > most {
		return plain(n) + "s"
	}
	return (time.Duration(n) * time.Second).String()
}

// decimal writes n as a fraction of 10^places without floating point, and leaves out zeros at the
// end beyond the digits that are always written.
func decimal(n int64, places, always int) string {
	digits := plain(n)
	for len(digits) <= places {
		digits = "0" + digits
	}
	whole, part := digits[:len(digits)-places], digits[len(digits)-places:]
	for len(part) > always && part[len(part)-1] == '0' {
		part = part[:len(part)-1]
	}
	if part == "" {
		return whole
	}
	return whole + "." + part
}
