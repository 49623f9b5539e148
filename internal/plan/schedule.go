package plan

import (
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// horizon is how many days ahead to search a schedule: a week, plus what a clock change may add.
const horizon = 9

// TargetNow is how many warm members a pool has to keep at now: the target of the first schedule entry that applies, otherwise its
// default target, within its minimum and maximum (the maximum wins).
func TargetNow(p fleet.Pool, now time.Time) int {
	target := p.Target
	for _, entry := range p.Schedule {
		if holds(entry, now) {
			target = entry.Target
			break
		}
	}
	return max(min(max(target, p.Min), p.Max), 0)
}

// holds reports whether an entry applies at a time, by the wall clock of its zone. An entry that runs past midnight belongs to the day on
// which it begins.
func holds(entry fleet.ScheduledTarget, now time.Time) bool {
	local := now.In(entry.Location())
	day, at := local.Weekday(), local.Hour()*60+local.Minute()
	if entry.From < entry.Until {
		return on(entry, day) && entry.From <= at && at < entry.Until
	}
	return (on(entry, day) && at >= entry.From) || (on(entry, (day+6)%7) && at < entry.Until)
}

func on(entry fleet.ScheduledTarget, day time.Weekday) bool {
	return len(entry.Days) == 0 || slices.Contains(entry.Days, day)
}

// nextTarget is when a pool's target changes by its schedule; zero when it never does.
func nextTarget(p fleet.Pool, now time.Time) time.Time {
	var ahead []time.Time
	for _, entry := range p.Schedule {
		ahead = append(ahead, changes(entry, now)...)
	}
	slices.SortFunc(ahead, time.Time.Compare)
	target := TargetNow(p, now)
	for _, at := range ahead {
		if TargetNow(p, at) != target {
			return at
		}
	}
	return time.Time{}
}

// changes returns all times after now at which an entry may start or stop applying, within the horizon. Around a clock change a
// wall-clock time occurs twice or not at all: each is computed with the offsets before and after the change, and the change itself may
// start or stop an entry.
func changes(entry fleet.ScheduledTarget, now time.Time) (ahead []time.Time) {
	local := now.In(entry.Location())
	last := local.AddDate(0, 0, horizon)
	var offsets []int
	for at := local; ; {
		_, offset := at.Zone()
		offsets = append(offsets, offset)
		_, end := at.ZoneBounds()
		if end.IsZero() || end.After(last) {
			break
		}
		ahead = append(ahead, end.UTC())
		at = end
	}
	year, month, day := local.Date()
	for d := -1; d <= horizon; d++ {
		for _, minute := range []int{entry.From, entry.Until} {
			wall := time.Date(year, month, day+d, 0, minute, 0, 0, time.UTC)
			for _, offset := range offsets {
				if at := wall.Add(-time.Duration(offset) * time.Second); at.After(now) {
					ahead = append(ahead, at)
				}
			}
		}
	}
	return ahead
}
