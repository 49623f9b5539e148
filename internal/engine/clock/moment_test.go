package clock

import (
	"testing"
	"time"
)

// TestJumpIsWhatDidNotPass: downtime is no jump, and a clock that was set is one.
func TestJumpIsWhatDidNotPass(t *testing.T) {
	at := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	was := Moment{At: at, Boot: "one", SinceBoot: time.Hour}
	for name, c := range map[string]struct {
		gap  time.Duration // by the clock
		boot string
		up   time.Duration
		want time.Duration
	}{
		"a second later":                                {time.Second, "one", time.Hour + time.Second, 0},
		"down for 100 seconds":                          {100 * time.Second, "one", time.Hour + 100*time.Second, 0},
		"down for a day":                                {24 * time.Hour, "one", 25 * time.Hour, 0},
		"an hour ahead":                                 {time.Hour + time.Second, "one", time.Hour + time.Second, time.Hour},
		"an hour back":                                  {-time.Hour, "one", time.Hour + time.Second, 0},
		"the machine was started anew":                  {5 * time.Minute, "two", 3 * time.Minute, 0},
		"the machine was off for a little":              {14 * time.Minute, "two", time.Minute, 0},
		"off for long, or an hour ahead":                {time.Hour, "two", time.Minute, 59 * time.Minute},
		"another machine, that is up for long":          {time.Hour, "two", 24 * time.Hour, 0},
		"a machine that does not tell its start":        {time.Hour, "", time.Minute, 59 * time.Minute},
		"a machine that was put back to an earlier run": {time.Hour, "one", time.Minute, 59 * time.Minute},
	} {
		if got := was.Jumped(Moment{At: at.Add(c.gap), Boot: c.boot, SinceBoot: c.up}); got != c.want {
			t.Errorf("%s: jumped by %s, want %s", name, got, c.want)
		}
	}
	if got := (Moment{}).Jumped(Moment{At: at}); got != 0 {
		t.Errorf("no plan was ever made: jumped by %s", got)
	}
}

// TestClockFollowsTheDatabase: drift is followed, a jump is told and not followed.
func TestClockFollowsTheDatabase(t *testing.T) {
	c := New(nil, nil)
	near := func(at time.Time, what string) {
		t.Helper()
		if off := c.now().Sub(at); off.Abs() > 3*time.Second {
			t.Errorf("%s: the clock is off by %s", what, off)
		}
	}
	drift := time.Now().Add(8 * time.Second)
	c.follow(drift)
	near(drift, "drift")
	if c.databaseOff() != 0 {
		t.Errorf("after it was followed the database is %s off", c.databaseOff())
	}
	c.follow(drift.Add(time.Hour))
	near(drift, "a jump")
	if off := c.databaseOff(); off < 59*time.Minute {
		t.Errorf("the database is %s off, want an hour", off)
	}
	c.follow(drift.Add(time.Hour + 5*time.Second))
	near(drift.Add(5*time.Second), "drift after a jump")
	c.follow(drift.Add(5 * time.Second))
	near(drift.Add(5*time.Second), "the jump back")
	if off := c.databaseOff(); off.Abs() > 10*time.Second {
		t.Errorf("after the jump back the database is %s off", off)
	}
}

// TestWhoStoodStill: a daemon that finds itself apart from the database goes by those who do not, if there are any.
func TestWhoStoodStill(t *testing.T) {
	at := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	for name, c := range map[string]struct {
		last     Moment
		database time.Time
		theirs   time.Time
		ok       bool
	}{
		"another machine's daemon has just planned":   {Moment{At: at, Boot: "two"}, at.Add(9 * time.Second), at.Add(9 * time.Second), true},
		"and has seen the database jump":              {Moment{At: at, Boot: "two", Database: time.Hour}, at.Add(time.Hour), at, true},
		"the database has jumped since":               {Moment{At: at, Boot: "two"}, at.Add(time.Hour), at.Add(time.Hour), false},
		"it is this machine's own":                    {Moment{At: at, Boot: "one"}, at.Add(time.Second), at.Add(time.Second), false},
		"nobody has planned for long":                 {Moment{At: at, Boot: "two"}, at.Add(5 * time.Minute), at.Add(5 * time.Minute), false},
		"the database has jumped back since":          {Moment{At: at, Boot: "two"}, at.Add(-time.Hour), at.Add(-time.Hour), false},
		"nobody has ever planned or tells which boot": {Moment{At: at}, at.Add(time.Second), at.Add(time.Second), false},
	} {
		if theirs, ok := c.last.elsewhere("one", c.database); ok != c.ok || !theirs.Equal(c.theirs) {
			t.Errorf("%s: %s, %t; want %s, %t", name, theirs, ok, c.theirs, c.ok)
		}
	}
}
