package quota

import (
	"slices"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// The highest limits that make sense: whoever writes more has mistaken a unit.
const (
	maxEnvironments = 1_000_000
	maxMilliCPUs    = 1_000_000_000                  // a million cores
	maxMemoryMiB    = 1 << 40                        // an exbibyte
	maxSeconds      = 24 * 60 * 60 * maxEnvironments // a million environments all day
	maxMicros       = 1_000_000_000_000_000          // a thousand million units
	maxTTL          = 10 * 365 * 24 * time.Hour
)

// Validate checks limits as somebody wrote them. CodeInvalid.
func Validate(l fleet.Limits) error {
	for _, c := range []struct {
		name  string
		value *int64
		most  int64
		unit  string
	}{
		{"environments", l.Environments, maxEnvironments, "environments"},
		{"milli_cpus", l.MilliCPUs, maxMilliCPUs, "thousandths of a core"},
		{"memory_mib", l.MemoryMiB, maxMemoryMiB, "MiB"},
		{"seconds_per_day", l.SecondsPerDay, maxSeconds, "seconds"},
		{"micros_per_day", l.MicrosPerDay, maxMicros, "millionths of the currency unit"},
		{"micros_per_month", l.MicrosPerMonth, maxMicros, "millionths of the currency unit"},
	} {
		if c.value != nil && (*c.value < 0 || *c.value > c.most) {
			return fleet.Errorf(fleet.CodeInvalid, "invalid limit %s: %d", c.name, *c.value).
				WithHint("use 0 to %d %s, or omit the limit", c.most, c.unit)
		}
	}
	if l.MaxTTL != nil && (*l.MaxTTL < time.Second || *l.MaxTTL > maxTTL) {
		return fleet.Errorf(fleet.CodeInvalid, "invalid maximum lease %s", *l.MaxTTL).
			WithHint("use 1s to %s, or omit the limit", maxTTL)
	}
	if err := names("blueprint", l.Blueprints); err != nil {
		return err
	}
	return names("size", l.Sizes)
}

// Bounds of a list of names.
const (
	maxNames     = 200
	maxNameBytes = 200
)

func names(what string, list []string) error {
	if len(list) > maxNames {
		return fleet.Errorf(fleet.CodeInvalid, "%d names of a %s are too many", len(list), what).WithHint("give at most %d, or leave the list out to allow all", maxNames)
	}
	for i, name := range list {
		if len(name) > maxNameBytes {
			return fleet.Errorf(fleet.CodeInvalid, "the name of a %s has %d bytes", what, len(name)).WithHint("give at most %d", maxNameBytes)
		}
		alone, _, versioned := strings.Cut(name, "@")
		switch {
		case name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' }):
			return fleet.Errorf(fleet.CodeInvalid, "%q is not the name of a %s", name, what).
				WithHint("give names without spaces, or leave the list out to allow all")
		case versioned:
			return fleet.Errorf(fleet.CodeInvalid, "%q has a version, but a limit applies to all versions of a %s", name, what).
				WithHint("use only the name: %s", alone)
		case slices.Contains(list[:i], name):
			return fleet.Errorf(fleet.CodeInvalid, "the %s %q is listed twice", what, name).WithHint("name each once")
		}
	}
	return nil
}
