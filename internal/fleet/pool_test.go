package fleet_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/fleet"
)

func TestDefaultMax(t *testing.T) {
	for name, tc := range map[string]struct {
		pool fleet.Pool
		want int
	}{
		"the target":                        {fleet.Pool{Target: 3}, 3},
		"nothing for nothing":               {fleet.Pool{}, 0},
		"and the surge":                     {fleet.Pool{Target: 3, Min: 1, Surge: 2}, 5},
		"the greatest target":               {fleet.Pool{Target: 3, Surge: 1, Schedule: []fleet.ScheduledTarget{{Target: 7}, {Target: 1}}}, 8},
		"one more, where all must stay":     {fleet.Pool{Target: 2, Min: 2}, 3},
		"which a surge gives already":       {fleet.Pool{Target: 2, Min: 2, Surge: 1}, 3},
		"not where some may go at times":    {fleet.Pool{Target: 2, Min: 2, Schedule: []fleet.ScheduledTarget{{Target: 5}}}, 5},
		"no more than can be set":           {fleet.Pool{Target: 999, Surge: 1000}, fleet.MaxPoolCount},
		"whatever is wrong with the others": {fleet.Pool{Target: math.MaxInt, Surge: math.MaxInt}, math.MaxInt},
		"or with the surge":                 {fleet.Pool{Target: 3, Surge: -5}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.pool.DefaultMax(); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

// TestDefaultsRollOver: a pool whose maximum is left out can be renewed, unless its minimum leaves no room for more.
func TestDefaultsRollOver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(0, fleet.MaxPoolCount)
		p := fleet.Pool{Min: count.Draw(t, "minimum"), Surge: count.Draw(t, "surge")}
		p.Target = rapid.IntRange(p.Min, fleet.MaxPoolCount).Draw(t, "target")
		for _, n := range rapid.SliceOfN(rapid.IntRange(p.Min, fleet.MaxPoolCount), 0, 3).Draw(t, "schedule") {
			p.Schedule = append(p.Schedule, fleet.ScheduledTarget{Target: n})
		}
		p.Max = p.DefaultMax()
		if p.Max < p.Target || p.Max > fleet.MaxPoolCount || p.NeverRenewed() != (p.Min == fleet.MaxPoolCount) {
			t.Fatalf("the maximum is %d, never renewed: %t", p.Max, p.NeverRenewed())
		}
	})
}
