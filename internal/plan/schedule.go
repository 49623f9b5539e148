package plan

import (
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// horizon is how many days ahead a schedule is looked through: a week, and what a change of the clocks may add.
const horizon = 9

// TargetNow is how many members a pool is to keep warm at now: what the first entry of its schedule
// that holds says, else its target, within its minimum and maximum (the maximum wins).
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

// holds reports whether an entry holds at a time, by the clock on the wall of its zone. One that runs past midnight belongs to
// the day it begins on.
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

// changes gives all times after now at which an entry may begin or end to hold, within the horizon. Where clocks are changed
// a time on the wall comes twice or not at all: each is looked at by the offset before the change and the one after,
// and the change itself may begin or end an entry.
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
