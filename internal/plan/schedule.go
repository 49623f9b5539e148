package plan

import (
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

const (
	minutesOfDay  = 24 * 60
	minutesOfWeek = 7 * minutesOfDay
)

// TargetNow is how many members a pool is to keep warm at now: what the first entry of its schedule
// that holds says, else its target, within its minimum and maximum (the maximum wins).
func TargetNow(p fleet.Pool, now time.Time) int { return targetAt(p, minuteOf(now)) }

// minuteOf is the minute of the week, UTC, from Sunday's midnight.
func minuteOf(t time.Time) int {
	t = t.UTC()
	return int(t.Weekday())*minutesOfDay + t.Hour()*60 + t.Minute()
}

func targetAt(p fleet.Pool, minute int) int {
	target := p.Target
	for _, entry := range p.Schedule {
		if holds(entry, minute) {
			target = entry.Target
			break
		}
	}
	return max(min(max(target, p.Min), p.Max), 0)
}

// holds reports whether an entry holds at a minute of the week. One that runs past midnight belongs to the day it begins on.
func holds(entry fleet.ScheduledTarget, minute int) bool {
	day, at := time.Weekday(minute/minutesOfDay), minute%minutesOfDay
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
	if len(p.Schedule) == 0 {
		return time.Time{}
	}
	minute := minuteOf(now)
	var ahead []int
	for _, entry := range p.Schedule {
		for day := range 7 {
			for _, at := range []int{entry.From, entry.Until} {
				wait := (day*minutesOfDay + at - minute) % minutesOfWeek
				if wait <= 0 {
					wait += minutesOfWeek
				}
				ahead = append(ahead, wait)
			}
		}
	}
	slices.Sort(ahead)
	target := targetAt(p, minute)
	for _, wait := range slices.Compact(ahead) {
		if targetAt(p, (minute+wait)%minutesOfWeek) != target {
			return now.UTC().Truncate(time.Minute).Add(time.Duration(wait) * time.Minute)
		}
	}
	return time.Time{}
}
