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
		next := plan.Compute(plan.Snapshot{Pools: []plan.Pool{{Pool: p, Broken: "not offered"}}}, at).Next
		target := plan.TargetNow(p, at)
		// Targets change on the hour here, so looking at every hour of a week misses nothing.
		for hour := at.Truncate(time.Hour).Add(time.Hour); hour.Sub(at) <= 8*24*time.Hour; hour = hour.Add(time.Hour) {
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
