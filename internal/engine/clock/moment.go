package clock

import (
	"os"
	"strings"
	"sync"
	"time"
)

// Moment is the time at a moment, beside what tells how much of it passes while no daemon runs: the machine's own count.
type Moment struct {
	At time.Time `json:"at"`
	// Boot is the id of the machine's start, SinceBoot what had passed since then, sleep included.
	Boot      string        `json:"boot"`
	SinceBoot time.Duration `json:"since_boot"`
	// Database is how far the clock of the database, which daemons share, was ahead.
	Database time.Duration `json:"database,omitempty"`
}

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

// MomentOf is the moment of a time that is now.
func MomentOf(now time.Time) Moment {
	return Moment{At: now, Boot: bootID(), SinceBoot: SinceBoot()}
}

// elapsed is what passed between two moments; false when they are of different starts of a machine.
func (r Moment) elapsed(now Moment) (time.Duration, bool) {
	passed := now.SinceBoot - r.SinceBoot
	return passed, r.Boot != "" && r.Boot == now.Boot && passed >= 0
}

// Jumped is how far time has moved on since a moment beyond what passed. Of the time between two starts
// of a machine only what it has been up for is known to have passed.
func (r Moment) Jumped(now Moment) time.Duration {
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

// elsewhere is the time that daemons on other machines go by, which do not see that the database's clock jumped: then
// it was this machine that stood still, as a virtual one does that is paused. False when none has planned of late.
func (r Moment) elsewhere(boot string, database time.Time) (time.Time, bool) {
	theirs := database.Add(-r.Database)
	age := theirs.Sub(r.At)
	return theirs, r.Boot != "" && r.Boot != boot && age > -jumpFrom && age < time.Minute
}
