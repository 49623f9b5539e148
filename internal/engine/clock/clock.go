// Package clock is the time by which leases run, and what tells how much of it passes while no daemon runs. It reads the machine's
// clocks and, through an interface, the database's; what happens at which time is other rooms' business.
package clock

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/internal/engine/doctor"
)

// Clock is the time by which leases run. It starts at the machine's (or the database's) time and
// goes on by elapsed time, sleep of the machine included, so that a jump of the
// machine's clock neither lengthens a lease nor ends one (promise 17).
type Clock struct {
	fixed func() time.Time // replaces everything, in tests
	wall  func() time.Time

	mu   sync.Mutex
	base time.Time
	at   time.Duration // since boot, when base was right
	// database is how far the database's clock is ahead of this one since it jumped.
	database time.Duration
}

// New makes a clock at the time that wall tells (nil: the machine's). fixed, when not nil, replaces it; for tests.
func New(fixed, wall func() time.Time) *Clock {
	if wall == nil {
		wall = time.Now
	}
	c := &Clock{fixed: fixed, wall: wall}
	c.set(wall())
	return c
}

func (c *Clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base, c.at = now.Round(0), SinceBoot()
}

// Now is the time in UTC, as exact as the store keeps it.
func (c *Clock) Now() time.Time { return Kept(c.now()) }

// Kept is a time as the store keeps it.
func Kept(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func (c *Clock) now() time.Time {
	if c.fixed != nil {
		return c.fixed()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.base.Add(SinceBoot() - c.at)
}

// off is how far the machine's clock is ahead of this one.
func (c *Clock) off() time.Duration {
	if c.fixed != nil {
		return 0
	}
	return c.wall().Round(0).Sub(c.now())
}

// databaseOff is how far the database's clock is ahead of this one since it jumped.
func (c *Clock) databaseOff() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.database
}

// follow goes with the database's time where the two have drifted apart. A jump is noted, and not followed.
func (c *Clock) follow(database time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	off := database.Sub(c.base.Add(SinceBoot() - c.at))
	switch moved := (off - c.database).Abs(); {
	case moved >= jumpFrom:
		c.database = off
	case moved >= drifted:
		c.base, c.at = database.Add(-c.database).Round(0), SinceBoot()
	}
}

// apart reports whether the database's clock and this one have moved apart at once, beyond any drift.
func (c *Clock) apart(database time.Time) bool {
	return (database.Sub(c.now()) - c.databaseOff()).Abs() >= jumpFrom
}

// setBeside sets the clock, and how far the database's is ahead of it.
func (c *Clock) setBeside(now time.Time, database time.Duration) {
	c.set(now)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.database = database
}

// drifted is what two clocks may be apart: less is the time that an answer takes.
const drifted = 250 * time.Millisecond

// SinceBoot counts on from the start of the machine, also while the machine sleeps, which Go's monotonic time does not.
func SinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// Every Linux since 2.6.39 has it; leases that run by nothing would be worse than none.
		panic(fmt.Sprintf("read the time since boot: %v", err))
	}
	return time.Duration(ts.Nano())
}

// jumpFrom is from when a clock counts as having jumped.
const jumpFrom = 10 * time.Second

// Check tells whether a clock has jumped. shared says that daemons share the database.
func (c *Clock) Check(shared bool) doctor.Check {
	const accept = "when it is right, start bothyd once with --timing-clock machine: what ends by time then ends %s %s by the machine's clock"
	off, database := c.off(), c.databaseOff()
	earlier := func(ahead time.Duration) string {
		if ahead < 0 {
			return "later"
		}
		return "earlier"
	}
	switch {
	case database.Abs() >= jumpFrom:
		return doctor.Check{
			Name: "clock", Status: doctor.Warning,
			Message: fmt.Sprintf("the database's clock jumped by %s; leases go on by elapsed time", database.Round(time.Second)),
			Hint:    "correct the clock of the database's machine; " + fmt.Sprintf(accept, database.Abs().Round(time.Second), earlier(database)),
		}
	case off.Abs() >= jumpFrom && shared:
		return doctor.Check{
			Name: "clock", Status: doctor.Warning,
			Message: fmt.Sprintf("the machine's clock is %s off the database's, which leases go by", off.Round(time.Second)),
			Hint:    "correct the machine's clock; nothing depends on it",
		}
	case off.Abs() >= jumpFrom:
		return doctor.Check{
			Name: "clock", Status: doctor.Warning,
			Message: fmt.Sprintf("the machine's clock jumped by %s; leases go on by elapsed time", off.Round(time.Second)),
			Hint:    "correct the machine's clock; " + fmt.Sprintf(accept, off.Abs().Round(time.Second), earlier(off)),
		}
	}
	return doctor.Check{Name: "clock", Status: doctor.OK, Message: "the machine's clock has not jumped"}
}
