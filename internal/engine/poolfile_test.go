package engine_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/engine"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner/fake"
)

func TestWrongPoolsAreRefused(t *testing.T) {
	b := setup(t)
	for name, tc := range map[string]struct {
		change func(*fleet.Pool)
		code   fleet.Code
	}{
		"a target below zero":           {func(p *fleet.Pool) { p.Target = -1 }, fleet.CodeInvalid},
		"a target above the bound":      {func(p *fleet.Pool) { p.Target, p.Max = 1001, 1001 }, fleet.CodeInvalid},
		"a huge target":                 {func(p *fleet.Pool) { p.Target = 1 << 62 }, fleet.CodeInvalid},
		"a surge below zero":            {func(p *fleet.Pool) { p.Surge = -1 }, fleet.CodeInvalid},
		"a minimum above the maximum":   {func(p *fleet.Pool) { p.Min, p.Max = 5, 4 }, fleet.CodeInvalid},
		"a target above the maximum":    {func(p *fleet.Pool) { p.Max = 1; p.Target = 2 }, fleet.CodeInvalid},
		"a maximum of nothing":          {func(p *fleet.Pool) { p.Max = 0 }, fleet.CodeInvalid},
		"no room to be renewed":         {func(p *fleet.Pool) { p.Min, p.Target, p.Max = 2, 2, 2 }, fleet.CodeInvalid},
		"whatever the surge":            {func(p *fleet.Pool) { p.Min, p.Target, p.Max, p.Surge = 2, 2, 2, 1 }, fleet.CodeInvalid},
		"a target below the minimum":    {func(p *fleet.Pool) { p.Min, p.Max, p.Target = 2, 4, 1 }, fleet.CodeInvalid},
		"a scheduled one out of bounds": {func(p *fleet.Pool) { p.Max = 2; p.Schedule = []fleet.ScheduledTarget{{Target: 3, Until: 10}} }, fleet.CodeInvalid},
		"a minute that is none":         {func(p *fleet.Pool) { p.Schedule = []fleet.ScheduledTarget{{From: 1440, Target: 1}} }, fleet.CodeInvalid},
		"a day that is none":            {func(p *fleet.Pool) { p.Schedule = []fleet.ScheduledTarget{{Days: []time.Weekday{7}, Target: 1}} }, fleet.CodeInvalid},
		"a name with a slash":           {func(p *fleet.Pool) { p.Name = "a/b" }, fleet.CodeInvalid},
		"a name that is too long":       {func(p *fleet.Pool) { p.Name = strings.Repeat("a", 41) }, fleet.CodeInvalid},
		"no blueprint":                  {func(p *fleet.Pool) { p.Blueprint = "" }, fleet.CodeInvalid},
		"a blueprint that is not there": {func(p *fleet.Pool) { p.Blueprint = "nope" }, fleet.CodeNotFound},
		"a size that is not there":      {func(p *fleet.Pool) { p.Size = "huge" }, fleet.CodeInvalid},
		"an input that is unknown":      {func(p *fleet.Pool) { p.Inputs = map[string]any{"x": 1} }, fleet.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			p := fleet.Pool{Name: "builders", Blueprint: "build", Target: 1, Max: 9}
			tc.change(&p)
			_, err := b.engine.SetPool(t.Context(), platform, p)
			wantCode(t, err, tc.code)
		})
	}
	if pools, err := b.db.Pools(t.Context()); err != nil || len(pools) != 0 {
		t.Errorf("%d pools (%v), want none: what is refused leaves nothing", len(pools), err)
	}
}

func TestFileOfPoolsIsFollowed(t *testing.T) {
	var file atomic.Pointer[[]fleet.Pool]
	wrong := fmt.Errorf("pools.yaml:1:1: got nothing")
	b := setup(t, func(c *engine.Config) {
		c.Pools = func() ([]fleet.Pool, error) {
			if p := file.Load(); p != nil {
				return *p, nil
			}
			return nil, wrong
		}
	}).run()
	b.pool("by-hand", 1)
	b.untilWarm(1)
	file.Store(&[]fleet.Pool{{Name: "builders", Blueprint: "build", Target: 2, Max: 2}, {Name: "bad", Blueprint: "nope", Target: 1, Max: 1}})
	b.untilWarm(3)
	_, err := b.engine.SetPool(t.Context(), platform, fleet.Pool{Name: "builders", Blueprint: "build", Target: 5})
	wantCode(t, err, fleet.CodeConflict)
	wantCode(t, b.engine.RemovePool(t.Context(), platform, "builders"), fleet.CodeConflict)
	before, err := b.db.Pool(t.Context(), "builders")
	if err != nil {
		t.Fatal(err)
	}
	file.Store(nil) // a file that is wrong changes nothing
	calls := b.world.Calls(fake.OpInspect)
	waitUntil(t, "it was planned anew", func() bool { return b.world.Calls(fake.OpInspect) > calls+6 })
	if after, err := b.db.Pool(t.Context(), "builders"); err != nil || after.Target != before.Target || !after.FromFile {
		t.Errorf("it is %+v (%v), want it as it was", after, err)
	}
	file.Store(&[]fleet.Pool{})
	b.untilWarm(1)
	if pools, err := b.db.Pools(t.Context()); err != nil || len(pools) != 1 || pools[0].Name != "by-hand" {
		t.Errorf("there are %+v (%v), want the one that was set by hand", pools, err)
	}
}

// TestSettingAPoolTwiceWritesOnce: a file that says what is there already is no news.
func TestSettingAPoolTwiceWritesOnce(t *testing.T) {
	b := setup(t)
	pools := []fleet.Pool{{Name: "builders", Blueprint: "build", Target: 2, Max: 3, Schedule: []fleet.ScheduledTarget{{From: 60, Until: 120, Target: 1}}}}
	for range 3 {
		if err := b.engine.ApplyPools(context.Background(), pools); err != nil {
			t.Fatal(err)
		}
	}
	if p, err := b.db.Pool(t.Context(), "builders"); err != nil || p.Revision != 1 || p.Max != 3 {
		t.Errorf("it is %+v (%v), want it written once", p, err)
	}
}
