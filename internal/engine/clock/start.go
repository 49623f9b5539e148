package clock

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"
)

// Database is what a clock needs of the store.
type Database interface {
	// Now is the database's time; false where one daemon has it for itself.
	Now(ctx context.Context) (time.Time, bool, error)
	Setting(ctx context.Context, name string) (string, error)
	SetSetting(ctx context.Context, name, value string) error
}

const (
	// settingClock is the moment of the last plan, settingLastPlan its time alone, in RFC 3339.
	settingClock    = "plan.clock"
	settingLastPlan = "plan.last"
)

// Start sets the clock: to where it was at the last plan and on by what has passed, when the machine has counted that; else
// to the database's time where daemons share one, and never to before the last plan, which it gives. accept takes the time as it is.
func (c *Clock) Start(ctx context.Context, db Database, accept bool, logger *slog.Logger) (last Moment, err error) {
	if last, err = LastPlan(ctx, db); err != nil || c.fixed != nil {
		return last, err
	}
	database, shared, err := db.Now(ctx)
	if err != nil {
		return last, err
	}
	if shared {
		c.set(database)
	}
	if accept {
		logger.Warn("the clock is taken over as it is", "clock", c.Now(), "last_plan", last.At)
		return last, nil
	}
	if shared {
		// Where a daemon that runs has seen the database's clock jump, all go by the time that it goes by.
		c.setBeside(database.Add(-last.Database), last.Database)
	}
	now := c.Now()
	expected := last.At
	passed, known := last.elapsed(MomentOf(now))
	if known {
		expected = expected.Add(passed)
	}
	off := now.Sub(expected)
	if off < 0 || known && off >= jumpFrom {
		if off.Abs() >= jumpFrom {
			logger.Warn("the clock is not where elapsed time says; leases go on by that", "clock", now, "by_elapsed_time", expected)
		}
		c.setBeside(expected, last.Database)
		if shared {
			c.follow(database) // notes the jump
		}
	}
	return last, nil
}

// Resync follows the database's clock where daemons share one: those of machines drift.
func (c *Clock) Resync(ctx context.Context, db Database, logger *slog.Logger) error {
	if c.fixed != nil {
		return nil
	}
	database, ok, err := db.Now(ctx)
	if err != nil || !ok {
		return err
	}
	if c.apart(database) {
		last, err := LastPlan(ctx, db)
		if err != nil {
			return err
		}
		if theirs, ok := last.elsewhere(bootID(), database); ok {
			logger.Warn("this machine was suspended; its daemon continues with the time of the others", "clock", c.Now(), "theirs", theirs)
			c.setBeside(theirs, last.Database)
			return nil
		}
	}
	c.follow(database)
	return nil
}

// LastPlan is the moment of the last plan, of whichever daemon; zero for never.
func LastPlan(ctx context.Context, db Database) (r Moment, err error) {
	text, err := db.Setting(ctx, settingClock)
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
	if text, err = db.Setting(ctx, settingLastPlan); err != nil || text == "" {
		return r, err
	}
	if r.At, err = time.Parse(time.RFC3339Nano, text); err != nil {
		return r, fmt.Errorf("read the time of the last plan: %w", err)
	}
	return r, nil
}

// NotePlan writes down when a plan was made, so that the next process knows how long nobody looked.
func (c *Clock) NotePlan(ctx context.Context, db Database, now time.Time) error {
	m := MomentOf(now)
	m.Database = c.databaseOff()
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the clock: %w", err)
	}
	if err := db.SetSetting(ctx, settingClock, string(text)); err != nil {
		return err
	}
	return db.SetSetting(ctx, settingLastPlan, now.Format(time.RFC3339Nano))
}
