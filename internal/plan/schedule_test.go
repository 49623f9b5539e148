package plan_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
)

func TestTargetNow(t *testing.T) {
	work := fleet.ScheduledTarget{
		Days: []time.Weekday{time.Monday, time.Friday}, From: 8 * 60, Until: 18 * 60, Target: 8,
	}
	night := fleet.ScheduledTarget{Days: []time.Weekday{time.Saturday}, From: 22 * 60, Until: 6 * 60, Target: 1}
	always := fleet.ScheduledTarget{Target: 5}
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 3, day, hour, minute, 0, 0, time.UTC) }
	for _, c := range []struct {
		name string
		pool fleet.Pool
		at   time.Time
		want int
	}{
		{"no schedule", fleet.Pool{Target: 3, Max: 9}, at(2, 9, 0), 3},
		{"its first minute", fleet.Pool{Target: 3, Max: 9, Schedule: []fleet.ScheduledTarget{work}}, at(2, 8, 0), 8},
		{"the minute before", fleet.Pool{Target: 3, Max: 9, Schedule: []fleet.ScheduledTarget{work}}, at(2, 7, 59), 3},
		{"its last minute", fleet.Pool{Target: 3, Max: 9, Schedule: []fleet.ScheduledTarget{work}}, at(2, 17, 59), 8},
		{"its end", fleet.Pool{Target: 3, Max: 9, Schedule: []fleet.ScheduledTarget{work}}, at(2, 18, 0), 3},
		{"another day", fleet.Pool{Target: 3, Max: 9, Schedule: []fleet.ScheduledTarget{work}}, at(3, 9, 0), 3},
		{"another zone, same moment", fleet.Pool{Target: 3, Max: 9, Schedule: []fleet.ScheduledTarget{work}}, at(2, 8, 0).In(time.FixedZone("", -10*3600)), 8},
		{"past midnight: the evening", fleet.Pool{Target: 3, Max: 9, Schedule: []fleet.ScheduledTarget{night}}, at(7, 23, 0), 1},
		{"past midnight: the morning after", fleet.Pool{Target: 3, Max: 9, Schedule: []fleet.ScheduledTarget{night}}, at(8, 5, 59), 1},
		{"past midnight: its end", fleet.Pool{Target: 3, Max: 9, Schedule: []fleet.ScheduledTarget{night}}, at(8, 6, 0), 3},
		{"past midnight: the morning of its day", fleet.Pool{Target: 3, Max: 9, Schedule: []fleet.ScheduledTarget{night}}, at(7, 5, 0), 3},
		{"from and until the same: all day", fleet.Pool{Target: 3, Max: 9, Schedule: []fleet.ScheduledTarget{always}}, at(4, 0, 0), 5},
		{"the first that holds wins", fleet.Pool{Target: 3, Max: 9, Schedule: []fleet.ScheduledTarget{work, always}}, at(2, 9, 0), 8},
		{"the minimum", fleet.Pool{Target: 3, Min: 2, Max: 9, Schedule: []fleet.ScheduledTarget{night}}, at(7, 23, 0), 2},
		{"the maximum", fleet.Pool{Target: 3, Max: 7, Schedule: []fleet.ScheduledTarget{work}}, at(2, 9, 0), 7},
		{"a maximum below the minimum wins", fleet.Pool{Target: 3, Min: 5, Max: 1}, at(2, 9, 0), 1},
		{"never below nothing", fleet.Pool{Target: -3, Min: -5, Max: 1}, at(2, 9, 0), 0},
	} {
		if got := plan.TargetNow(c.pool, c.at); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// TestNextTarget: a plan is made again exactly when a schedule changes a pool's target.
func TestNextTarget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := fleet.Pool{Name: "p", Target: rapid.IntRange(0, 3).Draw(t, "target"), Max: 3}
		for range rapid.IntRange(1, 3).Draw(t, "entries") {
			p.Schedule = append(p.Schedule, fleet.ScheduledTarget{
				Days:  rapid.SliceOfNDistinct(rapid.Map(rapid.IntRange(0, 6), func(d int) time.Weekday { return time.Weekday(d) }), 0, 3, rapid.ID).Draw(t, "days"),
				From:  rapid.IntRange(0, 23).Draw(t, "from") * 60,
				Until: rapid.IntRange(0, 24).Draw(t, "until") * 60, Target: rapid.IntRange(0, 3).Draw(t, "entry"),
			})
		}
		at := now.Add(time.Duration(rapid.Int64Range(0, int64(7*24*time.Hour)).Draw(t, "at")))
		begin := now
		if zone := rapid.SampledFrom(zones).Draw(t, "zone"); zone.name != "" {
			p.SetZone(zone.name)
			begin = rapid.SampledFrom(zone.odd).Draw(t, "week").AddDate(0, 0, -4)
		}
		at = begin.Add(at.Sub(now))
		next := plan.Compute(plan.Snapshot{Pools: []plan.Pool{{Pool: p, Broken: "not offered"}}}, at).Next
		target := plan.TargetNow(p, at)
		// Targets change on the hour of the zone, so looking at every half hour of a week misses nothing.
		const half = 30 * time.Minute
		for hour := at.Truncate(half).Add(half); hour.Sub(at) <= 8*24*time.Hour; hour = hour.Add(half) {
			if plan.TargetNow(p, hour) != target {
				if !next.Equal(hour) {
					t.Fatalf("the target of %+v changes at %s, the next look is at %s", p, hour, next)
				}
				return
			}
		}
		if !next.IsZero() {
			t.Fatalf("the target of %+v never changes, the next look is at %s", p, next)
		}
	})
}

// zones have days on which clocks are changed, one of them by half an hour, and offsets that are no whole hours.
var zones = []struct {
	name string
	odd  []time.Time
}{
	{"", nil},
	{"Europe/Berlin", []time.Time{date(2026, 3, 29), date(2026, 10, 25)}},
	{"America/St_Johns", []time.Time{date(2026, 3, 8), date(2026, 11, 1)}},
	{"Australia/Lord_Howe", []time.Time{date(2026, 4, 5), date(2026, 10, 4)}},
	{"Asia/Kolkata", []time.Time{date(2026, 5, 6)}},
}

func date(year, month, day int) time.Time {
	return time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
}

// TestTargetsFollowTheZonesClock: working hours stay working hours when clocks are changed; what is not on the wall that day is not
// kept for, and what is there twice is twice.
func TestTargetsFollowTheZonesClock(t *testing.T) {
	pool := func(from, until int) fleet.Pool {
		p := fleet.Pool{Target: 1, Max: 9, Schedule: []fleet.ScheduledTarget{{From: from, Until: until, Target: 5}}}
		p.SetZone("Europe/Berlin")
		return p
	}
	work, gap, past := pool(7*60, 19*60), pool(2*60, 3*60), pool(1*60, 2*60+30)
	for _, c := range []struct {
		name string
		pool fleet.Pool
		at   string
		want int
		next string
	}{
		{"winter", work, "2026-03-28T06:00:00Z", 5, "2026-03-28T18:00:00Z"},
		{"the night before summer", work, "2026-03-28T18:00:00Z", 1, "2026-03-29T05:00:00Z"},
		{"summer", work, "2026-03-29T05:00:00Z", 5, "2026-03-29T17:00:00Z"},
		{"the night before winter", work, "2026-10-24T17:00:00Z", 1, "2026-10-25T06:00:00Z"},
		{"winter again", work, "2026-10-25T06:00:00Z", 5, "2026-10-25T18:00:00Z"},
		{"the hour that is left out", gap, "2026-03-29T00:59:00Z", 1, "2026-03-30T00:00:00Z"},
		{"an end that is left out", past, "2026-03-29T00:00:00Z", 5, "2026-03-29T01:00:00Z"},
		{"the hour that comes twice", gap, "2026-10-25T00:00:00Z", 5, "2026-10-25T02:00:00Z"},
		{"an end that comes twice, the first time", past, "2026-10-25T00:00:00Z", 5, "2026-10-25T00:30:00Z"},
		{"between", past, "2026-10-25T00:30:00Z", 1, "2026-10-25T01:00:00Z"},
		{"the second time", past, "2026-10-25T01:00:00Z", 5, "2026-10-25T01:30:00Z"},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		got := plan.TargetNow(c.pool, at)
		next := plan.Compute(plan.Snapshot{Pools: []plan.Pool{{Pool: c.pool, Broken: "not offered"}}}, at).Next.UTC().Format(time.RFC3339)
		if got != c.want || next != c.next {
			t.Errorf("%s: %d until %s, want %d until %s", c.name, got, next, c.want, c.next)
		}
	}
}
