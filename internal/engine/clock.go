package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// clock is the time by which leases run. It starts at the machine's (or the database's) time and
// goes on by elapsed time, sleep of the machine included, so that a jump of the
// machine's clock neither lengthens a lease nor ends one (promise 17).
type clock struct {
	fixed func() time.Time // replaces everything, in tests
	wall  func() time.Time

	mu   sync.Mutex
	base time.Time
	at   time.Duration // since boot, when base was right
}

func newClock(fixed, wall func() time.Time) *clock {
	if wall == nil {
		wall = time.Now
	}
	c := &clock{fixed: fixed, wall: wall}
	c.set(wall())
	return c
}

func (c *clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base, c.at = now.Round(0), sinceBoot()
}

func (c *clock) now() time.Time {
	if c.fixed != nil {
		return c.fixed()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.base.Add(sinceBoot() - c.at)
}

// off is how far the machine's clock is ahead of this one.
func (c *clock) off() time.Duration {
	if c.fixed != nil {
		return 0
	}
	return c.wall().Round(0).Sub(c.now())
}

// sinceBoot counts also while the machine sleeps, which Go's monotonic time does not.
func sinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// Every Linux since 2.6.39 has it; leases that run by nothing would be worse than none.
		panic(fmt.Sprintf("read the time since boot: %v", err))
	}
	return time.Duration(ts.Nano())
}

// settingLastPlan is when the controller planned last, in RFC 3339.
const settingLastPlan = "plan.last"

// startClock sets the clock: to the database's time where daemons share one, and never to before the last plan.
func (e *Engine) startClock(ctx context.Context) error {
	if e.clock.fixed != nil {
		return nil
	}
	if now, ok, err := e.store.Now(ctx); err != nil {
		return err
	} else if ok {
		e.clock.set(now)
	}
	last, err := e.lastPlan(ctx)
	if err != nil {
		return err
	}
	if now := e.Now(); now.Before(last) {
		e.logger.Warn("the machine's clock is behind the last plan; leases go on from there", "clock", now, "last_plan", last)
		e.clock.set(last)
	}
	return nil
}

// lastPlan is when a controller planned last, zero for never.
func (e *Engine) lastPlan(ctx context.Context) (time.Time, error) {
	text, err := e.store.Setting(ctx, settingLastPlan)
	if err != nil || text == "" {
		return time.Time{}, err
	}
	last, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the time of the last plan: %w", err)
	}
	return last, nil
}

// clockOff is from when the machine's clock counts as having jumped.
const clockOff = 10 * time.Second

func (e *Engine) checkClock(context.Context) Check {
	if off := e.clock.off(); off.Abs() >= clockOff {
		return Check{
			Name: "clock", Status: Warning,
			Message: fmt.Sprintf("the machine's clock jumped by %s; leases go on by elapsed time", off.Round(time.Second)),
			Hint:    "if its new time is right, restart bothyd to take it over",
		}
	}
	return Check{Name: "clock", Status: OK, Message: "the machine's clock has not jumped"}
}
