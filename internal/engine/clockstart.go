package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// moment is the time at a moment, beside what tells how much of it passes while no daemon runs: the machine's own count.
type moment struct {
	At time.Time `json:"at"`
	// Boot is the id of the machine's start, SinceBoot what had passed since then, sleep included.
	Boot      string        `json:"boot"`
	SinceBoot time.Duration `json:"since_boot"`
	// Database is how far the clock of the database, which daemons share, was ahead.
	Database time.Duration `json:"database,omitempty"`
}

const (
	// settingClock is the moment of the last plan, settingLastPlan its time alone, in RFC 3339.
	settingClock    = "plan.clock"
	settingLastPlan = "plan.last"
)

// longestOff is how long a machine may have been off before what its clock says passed counts as a jump: nothing counts then.
const longestOff = 15 * time.Minute

// bootID is "" where it cannot be read, and then no moment is of this start.
var bootID = sync.OnceValue(func() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
})

// momentOf is the present moment.
func momentOf(now time.Time) moment {
	return moment{At: now, Boot: bootID(), SinceBoot: sinceBoot()}
}

// elapsed is what passed between two moments; false when they are of different starts of a machine.
func (r moment) elapsed(now moment) (time.Duration, bool) {
	passed := now.SinceBoot - r.SinceBoot
	return passed, r.Boot != "" && r.Boot == now.Boot && passed >= 0
}

// jumped is how far time has moved on since a moment beyond what passed. Of the time between two starts
// of a machine only what it has been up for is known to have passed.
func (r moment) jumped(now moment) time.Duration {
	gap := now.At.Sub(r.At)
	if r.At.IsZero() {
		return 0
	}
	if passed, known := r.elapsed(now); known {
		return max(gap-passed, 0)
	}
	if off := gap - now.SinceBoot; off > longestOff {
		return off
	}
	return 0
}

// startClock sets the clock: to where it was at the last plan and on by what has passed, when the machine has counted that; else
// to the database's time where daemons share one, and never to before the last plan.
func (e *Engine) startClock(ctx context.Context) error {
	last, err := e.lastMoment(ctx)
	if err != nil {
		return err
	}
	e.lookedBefore = last.At
	if e.clock.fixed != nil {
		return nil
	}
	database, shared, err := e.store.Now(ctx)
	if err != nil {
		return err
	}
	if shared {
		e.clock.set(database)
	}
	if e.cfg.AcceptClock {
		e.logger.Warn("the clock is taken over as it is", "clock", e.Now(), "last_plan", last.At)
		return nil
	}
	if shared {
		// Where a daemon that runs has seen the database's clock jump, all go by the time that it goes by.
		e.clock.setBeside(database.Add(-last.Database), last.Database)
	}
	now := e.Now()
	expected := last.At
	passed, known := last.elapsed(momentOf(now))
	if known {
		expected = expected.Add(passed)
	}
	off := now.Sub(expected)
	if off < 0 || known && off >= clockOff {
		if off.Abs() >= clockOff {
			e.logger.Warn("the clock is not where elapsed time says; leases go on by that", "clock", now, "by_elapsed_time", expected)
		}
		e.clock.setBeside(expected, last.Database)
		if shared {
			e.clock.follow(database) // notes the jump
		}
	}
	return nil
}

// resync follows the database's clock where daemons share one: those of machines drift.
func (e *Engine) resync(ctx context.Context) error {
	if e.clock.fixed != nil {
		return nil
	}
	database, ok, err := e.store.Now(ctx)
	if err != nil || !ok {
		return err
	}
	if e.clock.apart(database) {
		last, err := e.lastMoment(ctx)
		if err != nil {
			return err
		}
		if theirs, ok := last.elsewhere(bootID(), database); ok {
			e.logger.Warn("this machine stood still; its daemon goes on by the time of the others", "clock", e.Now(), "theirs", theirs)
			e.clock.setBeside(theirs, last.Database)
			return nil
		}
	}
	e.clock.follow(database)
	return nil
}

// elsewhere is the time that daemons on other machines go by, which do not see that the database's clock jumped: then
// it was this machine that stood still, as a virtual one does that is paused. False when none has planned of late.
func (r moment) elsewhere(boot string, database time.Time) (time.Time, bool) {
	theirs := database.Add(-r.Database)
	age := theirs.Sub(r.At)
	return theirs, r.Boot != "" && r.Boot != boot && age > -clockOff && age < time.Minute
}

// lastMoment is that of the last plan, of whichever daemon; zero for never.
func (e *Engine) lastMoment(ctx context.Context) (r moment, err error) {
	text, err := e.store.Setting(ctx, settingClock)
	if err != nil {
		return r, err
	}
	if text != "" {
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return r, fmt.Errorf("read the clock of the last plan: %w", err)
		}
		return r, nil
	}
	// A daemon of before noted no more than the time.
	if text, err = e.store.Setting(ctx, settingLastPlan); err != nil || text == "" {
		return r, err
	}
	if r.At, err = time.Parse(time.RFC3339Nano, text); err != nil {
		return r, fmt.Errorf("read the time of the last plan: %w", err)
	}
	return r, nil
}

// notePlan writes down when a plan was made, so that the next process knows how long nobody looked.
func (e *Engine) notePlan(ctx context.Context, now time.Time) error {
	m := momentOf(now)
	m.Database = e.clock.databaseOff()
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the clock: %w", err)
	}
	if err := e.store.SetSetting(ctx, settingClock, string(text)); err != nil {
		return err
	}
	return e.store.SetSetting(ctx, settingLastPlan, now.Format(time.RFC3339Nano))
}
