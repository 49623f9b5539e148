package daemon_test

import (
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/internal/store"
)

// jumpy is a machine's clock that can be set.
type jumpy struct{ by atomic.Int64 }

func (j *jumpy) now() time.Time { return time.Now().Add(time.Duration(j.by.Load())) }

func (j *jumpy) jump(d time.Duration) { j.by.Add(int64(d)) }

// onWall makes an engine keep its own time.
func onWall(j *jumpy) func(*daemon.Config) {
	return func(c *daemon.Config) { c.Clock, c.Wall = nil, j.now }
}

func clockCheck(t *testing.T, e *daemon.Daemon) service.Check {
	t.Helper()
	for _, c := range e.CheckNow(t.Context()) {
		if c.Name == "clock" {
			return c
		}
	}
	t.Fatal("there is no check of the clock")
	return service.Check{}
}

// TestPromiseClocks: a jump of the machine's clock by a day moves no lease, and is told.
func TestPromiseClocks(t *testing.T) {
	for name, by := range map[string]time.Duration{"ahead": 24 * time.Hour, "back": -24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			var wall jumpy
			b := setup(t, onWall(&wall)).run()
			hour := time.Hour
			env := b.acquire(func(r *service.Request) { r.TTL = &hour })
			env = b.untilState(env.ID, fleet.Leased)
			before := b.engine.Now()
			if c := clockCheck(t, b.engine); c.Status != service.OK {
				t.Errorf("before the jump: %+v", c)
			}
			wall.jump(by)
			if moved := b.engine.Now().Sub(before); moved.Abs() > time.Minute {
				t.Errorf("the engine's clock moved by %s", moved)
			}
			if c := clockCheck(t, b.engine); c.Status != service.Warning || !strings.Contains(c.Message, "jumped by") {
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
	env := b.untilState(b.acquire(func(r *service.Request) { r.TTL = &minute }).ID, fleet.Leased)
	b.stop()
	wall.jump(-24 * time.Hour)
	b.engine = b.newEngine("daemon-1.b", onWall(&wall))
	b.run()
	b.untilState(b.acquire().ID, fleet.Leased)
	if now := b.engine.Now(); now.Before(env.Lease.Start.Add(-time.Second)) {
		t.Errorf("the clock is at %s, before the lease's start at %s", now, env.Lease.Start)
	}
}

// TestStartOnAWrongClock: the machine's clock is an hour ahead at a start of the same boot. No lease ends by it and no hour is
// charged; when the clock was put right the next start is on time, and a person may take the clock over as it is.
func TestStartOnAWrongClock(t *testing.T) {
	var wall jumpy
	b := setup(t, onWall(&wall)).run()
	env := b.untilState(b.acquire(func(r *service.Request) { r.TTL = ptr(50 * time.Minute) }).ID, fleet.Leased)
	waitUntil(t, "a plan is noted", func() bool {
		text, err := b.db.Setting(t.Context(), "plan.clock")
		return err == nil && text != ""
	})
	again := func(change func(*daemon.Config)) {
		t.Helper()
		b.stop()
		b.engine = b.newEngine("daemon-1."+daemon.NewID(), onWall(&wall), change)
		b.run()
		b.untilState(b.acquire().ID, fleet.Leased) // plans are made
	}
	near := func(what string, off time.Duration) {
		t.Helper()
		if got := time.Until(b.engine.Now()); (got - off).Abs() > time.Minute {
			t.Errorf("%s: the clock is off by %s, want %s", what, got, off)
		}
	}
	steady := func(*daemon.Config) {}
	wall.jump(time.Hour)
	again(steady)
	near("an hour ahead", 0)
	if c := clockCheck(t, b.engine); c.Status != service.Warning || !strings.Contains(c.Hint, "--timing-clock machine") || !strings.Contains(c.Hint, "earlier") {
		t.Errorf("an hour ahead: %+v, want a warning and the way to take it over", c)
	}
	if got, err := b.db.Get(t.Context(), env.ID); err != nil || got.State != fleet.Leased {
		t.Errorf("the lease is %s (%v)", got.State, err)
	}
	if cost := b.cost(ann, service.CostQuery{}).Total; cost.Seconds > 30*60 {
		t.Errorf("%d s are charged", cost.Seconds)
	}
	wall.jump(-time.Hour)
	again(steady)
	near("put right", 0)
	if c := clockCheck(t, b.engine); c.Status != service.OK {
		t.Errorf("put right: %+v", c)
	}
	wall.jump(-2 * time.Hour)
	again(steady)
	near("two hours back", 0)
	again(func(c *daemon.Config) { c.AcceptClock = true })
	near("two hours back, and taken over", -2*time.Hour)
	again(steady)
	near("after that", -2*time.Hour)
	if c := clockCheck(t, b.engine); c.Status != service.OK {
		t.Errorf("taken over: %+v", c)
	}
}

// TestDowntimeIsNoJump: leases that came due while no daemon ran end as soon as one does, however many they are.
func TestDowntimeIsNoJump(t *testing.T) {
	var wall jumpy
	b := setup(t, onWall(&wall)).run()
	const overdue = 12
	var ids []string
	for range overdue {
		ids = append(ids, b.untilState(b.acquire(func(r *service.Request) { r.TTL = ptr(time.Minute) }).ID, fleet.Leased).ID)
	}
	b.stop()
	// Everything moved back, the machine's count included, is as if the daemon had been down since then.
	const down = 100 * time.Second
	ago := func(at time.Time) time.Time { return at.Add(-down) }
	for _, id := range ids {
		if _, err := b.db.Change(t.Context(), id, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
			e.Lease.Start, e.Lease.End, e.BilledFrom, e.ReadyAt = ago(e.Lease.Start), ago(e.Lease.End), ago(e.BilledFrom), ago(e.ReadyAt)
			return store.Writes{}, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	text, err := b.db.Setting(t.Context(), "plan.clock")
	if err != nil {
		t.Fatal(err)
	}
	var last struct {
		At        time.Time     `json:"at"`
		Boot      string        `json:"boot"`
		SinceBoot time.Duration `json:"since_boot"`
	}
	if err := json.Unmarshal([]byte(text), &last); err != nil {
		t.Fatal(err)
	}
	last.At, last.SinceBoot = ago(last.At), last.SinceBoot-down
	encoded, err := json.Marshal(last)
	if err == nil {
		err = b.db.SetSetting(t.Context(), "plan.clock", string(encoded))
	}
	if err != nil {
		t.Fatal(err)
	}
	b.engine = b.newEngine("daemon-1.b", onWall(&wall))
	b.run()
	began := time.Now()
	for _, id := range ids {
		b.untilState(id, fleet.Destroyed)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("they ended within %s", took)
	}
	if brake, err := b.engine.Brake.State(t.Context()); err != nil || brake.On() {
		t.Errorf("the brake is %+v (%v)", brake, err)
	}
}
