package daemon_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
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
			_, err := b.engine.Pools.Set(t.Context(), platform, p)
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
	b := setup(t, func(c *daemon.Config) {
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
	_, err := b.engine.Pools.Set(t.Context(), platform, fleet.Pool{Name: "builders", Blueprint: "build", Target: 5})
	wantCode(t, err, fleet.CodeConflict)
	wantCode(t, b.engine.Pools.Remove(t.Context(), platform, "builders"), fleet.CodeConflict)
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
		if err := b.engine.Pools.Apply(context.Background(), pools); err != nil {
			t.Fatal(err)
		}
	}
	if p, err := b.db.Pool(t.Context(), "builders"); err != nil || p.Revision != 1 || p.Max != 3 {
		t.Errorf("it is %+v (%v), want it written once", p, err)
	}
}

// TestFileOfADaemonThatDoesNotPlan: its file is not followed, and doctor says so as long as that makes a difference.
func TestFileOfADaemonThatDoesNotPlan(t *testing.T) {
	file := []fleet.Pool{{Name: "builders", Blueprint: "build", Target: 1, Max: 1}}
	var wrong error
	b := setup(t, func(c *daemon.Config) { c.Pools = func() ([]fleet.Pool, error) { return file, wrong } })
	leader := b.newEngine("daemon-2.a")
	expect := func(status, message string) {
		t.Helper()
		if c := b.check("pools"); c.Status != status || !strings.Contains(c.Message, message) || (c.Hint == "") != (status == service.OK) {
			t.Errorf("the check is %+v, want %s: %s", c, status, message)
		}
	}
	follow := func(pools ...fleet.Pool) {
		t.Helper()
		if err := leader.Pools.Apply(t.Context(), pools); err != nil {
			t.Fatal(err)
		}
	}
	expect(service.Warning, "this daemon does not plan now, so its file of pools is not followed: there is no pool builders")
	follow(fleet.Pool{Name: "builders", Blueprint: "build", Target: 2, Max: 2})
	expect(service.Warning, "pool builders is not as it says")
	follow(file[0], fleet.Pool{Name: "more", Blueprint: "build"})
	expect(service.Warning, "it does not name pool more, which another file does")
	follow(file...)
	expect(service.OK, "all pools work")
	wrong = fmt.Errorf("pools.yaml:1:1: got nothing")
	expect(service.Warning, "it is wrong: pools.yaml:1:1")
	wrong = nil
	file = nil
	expect(service.Warning, "it does not name pool builders")
	b.run()
	waitUntil(t, "this daemon plans, and follows its file", func() bool {
		pools, err := b.db.Pools(t.Context())
		return err == nil && len(pools) == 0 && b.check("pools").Status == service.OK
	})
	b.stop()
	file = []fleet.Pool{{Name: "builders", Blueprint: "build", Target: 1, Max: 1}}
	// What it held is over with its run.
	for _, c := range b.engine.CheckNow(context.Background()) {
		if c.Name == "pools" && c.Status != service.Warning {
			t.Errorf("once it does not plan any more, the check is %+v", c)
		}
	}
}

// TestPoolsOfAFileThatIsGone may be changed and removed by hand at a daemon that has no file, and the record says where they were from.
func TestPoolsOfAFileThatIsGone(t *testing.T) {
	b := setup(t)
	file := []fleet.Pool{{Name: "builders", Blueprint: "build", Target: 2, Max: 2}, {Name: "testers", Blueprint: "build", Target: 1, Max: 1}}
	if err := b.engine.Pools.Apply(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b.pool("builders", 1)
	}
	if p, err := b.db.Pool(t.Context(), "builders"); err != nil || p.FromFile || p.Target != 1 {
		t.Errorf("it is %+v (%v), want it as it was set by hand", p, err)
	}
	if err := b.engine.Pools.Remove(t.Context(), platform, "testers"); err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, pool := range []string{"builders", "testers"} {
		events, err := b.engine.Events(t.Context(), platform, service.EventQuery{Pool: pool, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events[1:] {
			said = append(said, fmt.Sprint(e.Kind, " ", strings.Contains(e.Message, "it was kept by a file")))
		}
	}
	if got := strings.Join(said, ", "); got != "pool.set true, pool.set false, pool.removed true" {
		t.Errorf("the record has %s", got)
	}
}
