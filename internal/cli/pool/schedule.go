package pool

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
)

// days are the days of the week as schedules write them.
var days = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

const wantSchedule = `DAYS FROM-UNTIL=TARGET, for example "mon-fri 08:00-18:00=5", "sat,sun 10:00-16:00=1" or "22:00-06:00=0"`

var scheduleRE = regexp.MustCompile(`^(?:([a-z,-]+) +)?((?:[01][0-9]|2[0-3]):[0-5][0-9])-((?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)=([0-9]+)$`)

// parseSchedule parses a target for a part of the week.
func parseSchedule(text string) (wire.ScheduledTarget, error) {
	wrong := cmdutil.Usagef("--schedule: got %q, want %s", text, wantSchedule)
	parts := scheduleRE.FindStringSubmatch(strings.TrimSpace(text))
	if parts == nil {
		return wire.ScheduledTarget{}, wrong
	}
	on, ok := parseDays(parts[1])
	if !ok {
		return wire.ScheduledTarget{}, wrong
	}
	target, err := cmdutil.Count("schedule", parts[4])
	return wire.ScheduledTarget{Days: on, From: parts[2], Until: parts[3], Target: target}, err
}

// parseDays parses "mon-fri", "sat,sun" or "", which means every day. A range may cross the end of the week.
func parseDays(text string) ([]string, bool) {
	if text == "" {
		return nil, true
	}
	var on []string
	for part := range strings.SplitSeq(text, ",") {
		first, last, span := strings.Cut(part, "-")
		if !span {
			last = first
		}
		from, until := slices.Index(days, first), slices.Index(days, last)
		if from < 0 || until < 0 {
			return nil, false
		}
		for i := from; ; i = (i + 1) % len(days) {
			if slices.Contains(on, days[i]) {
				return nil, false
			}
			on = append(on, days[i])
			if i == until {
				break
			}
		}
	}
	return on, true
}

func formatSchedule(t wire.ScheduledTarget, zone string) string {
	if zone == "" {
		zone = "UTC"
	}
	on := "every day"
	if len(t.Days) > 0 {
		on = strings.Join(t.Days, ",")
	}
	return format.Clean(fmt.Sprintf("%d on %s %s-%s %s", t.Target, on, t.From, t.Until, zone))
}
