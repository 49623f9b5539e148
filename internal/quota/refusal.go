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
	// Asked, Used and Allowed are in Unit: "environments", "milli-cpus", "MiB", "seconds" or
	// "micros". All are zero and Unit is empty for a blueprint or size that is not allowed.
	Asked, Used, Allowed int64
	Unit                 string
	// Code is CodeQuota for what is used up, CodePolicy for what is never allowed.
	Code fleet.Code
	// Sentence says what is wrong, Hint the next thing to do.
	Sentence, Hint string
}

// Err gives the refusal as an error.
func (r *Refusal) Err() *fleet.Error {
	return &fleet.Error{Code: r.Code, Sentence: r.Sentence, Hint: r.Hint}
}

// measure is what a limit counts, and how people write it.
type measure struct {
	what, unit string
	text       func(int64) string
}

var (
	environments = measure{"environments", "environments", plain}
	cpus         = measure{"CPU", "milli-cpus", thousandths}
	memory       = measure{"memory", "MiB", func(n int64) string { return plain(n) + " MiB" }}
	leasedTime   = measure{"leased time a day", "seconds", seconds}
)

func money(what, currency string) measure {
	return measure{what, "micros", func(n int64) string { return strings.TrimSpace(decimal(n, 6, 2) + " " + currency) }}
}

func overLimit(scope fleet.Scope, of measure, asked, used, allowed int64) *Refusal {
	r := &Refusal{Scope: scope, What: of.what, Asked: asked, Used: used, Allowed: allowed, Unit: of.unit, Code: fleet.CodeQuota}
	r.Sentence = fmt.Sprintf("over the quota of %s: %s: asked %s, used %s, allowed %s",
		people(scope), of.what, of.text(asked), of.text(used), of.text(allowed))
	switch {
	case asked > allowed:
		r.Hint = "ask for less, or ask the platform team for a higher quota"
	case of.unit == "micros" || of.unit == "seconds":
		r.Hint = "ask for a shorter lease, or ask the platform team for a higher quota"
	default:
		r.Hint = "release an environment that is not needed (bothy down NAME), or ask the platform team for a higher quota"
	}
	return r
}

func tooLong(scope fleet.Scope, asked, allowed time.Duration) *Refusal {
	return &Refusal{
		Scope: scope, What: "longest lease", Asked: wholeSeconds(asked), Allowed: wholeSeconds(allowed), Unit: "seconds",
		Code:     fleet.CodePolicy,
		Sentence: fmt.Sprintf("a lease of %s is longer than %s may have: %s, extensions included", asked, people(scope), allowed),
		Hint:     fmt.Sprintf("ask for %s at most", allowed),
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

func plain(n int64) string { return strconv.FormatInt(n, 10) }

func thousandths(n int64) string { return decimal(n, 3, 0) }

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
