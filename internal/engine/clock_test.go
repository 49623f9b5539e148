package engine_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/engine"
	"github.com/bothy-env/bothy/internal/fleet"
)

// jumpy is a machine's clock that can be set.
type jumpy struct{ by atomic.Int64 }

func (j *jumpy) now() time.Time { return time.Now().Add(time.Duration(j.by.Load())) }

func (j *jumpy) jump(d time.Duration) { j.by.Add(int64(d)) }

// onWall makes an engine keep its own time.
func onWall(j *jumpy) func(*engine.Config) {
	return func(c *engine.Config) { c.Clock, c.Wall = nil, j.now }
}

func clockCheck(t *testing.T, e *engine.Engine) engine.Check {
	t.Helper()
	for _, c := range e.Checks(t.Context()) {
		if c.Name == "clock" {
			return c
		}
	}
	t.Fatal("there is no check of the clock")
	return engine.Check{}
}

// TestPromiseClocks: a jump of the machine's clock by a day moves no lease, and is told.
func TestPromiseClocks(t *testing.T) {
	for name, by := range map[string]time.Duration{"ahead": 24 * time.Hour, "back": -24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			var wall jumpy
			b := setup(t, onWall(&wall)).run()
			hour := time.Hour
			env := b.acquire(func(r *engine.Request) { r.TTL = &hour })
			env = b.untilState(env.ID, fleet.Leased)
			before := b.engine.Now()
			if c := clockCheck(t, b.engine); c.Status != engine.OK {
				t.Errorf("before the jump: %+v", c)
			}
			wall.jump(by)
			if moved := b.engine.Now().Sub(before); moved.Abs() > time.Minute {
				t.Errorf("the engine's clock moved by %s", moved)
			}
			if c := clockCheck(t, b.engine); c.Status != engine.Warning || !strings.Contains(c.Message, "jumped by") {
				t.Errorf("after the jump: %+v, want a warning", c)
			}
			// A plan made after the jump leaves it alone.
			other := b.untilState(b.acquire().ID, fleet.Leased)
			got, err := b.db.Get(t.Context(), env.ID)
			if err != nil || got.State != fleet.Leased || !got.Lease.End.Equal(env.Lease.End) {
				t.Errorf("it is %s until %s (%v), want leased until %s", got.State, got.Lease.End, err, env.Lease.End)
			}
			if left := other.Lease.End.Sub(b.engine.Now()); left > 2*time.Hour {
				t.Errorf("a new lease lasts %s", left)
			}
		})
	}
}

// TestClockBackAcrossARestart: a clock that was set back while nothing ran does not lengthen leases.
func TestClockBackAcrossARestart(t *testing.T) {
	var wall jumpy
	b := setup(t, onWall(&wall)).run()
	minute := time.Minute
	env := b.untilState(b.acquire(func(r *engine.Request) { r.TTL = &minute }).ID, fleet.Leased)
	b.stop()
	wall.jump(-24 * time.Hour)
	b.engine = b.newEngine("daemon-1.b", onWall(&wall))
	b.run()
	b.untilState(b.acquire().ID, fleet.Leased)
	if now := b.engine.Now(); now.Before(env.Lease.Start.Add(-time.Second)) {
		t.Errorf("the clock is at %s, before the lease's start at %s", now, env.Lease.Start)
	}
}
