package engine

import (
	"errors"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/clock"
)

// errUntrusted is the cause of a cancellation because the database could not be told in time that the work goes on: another
// daemon may take it over any moment.
var errUntrusted = errors.New("the work's lease can no longer be trusted")

// trust is how long a piece of work may go on since its lease was last renewed, by a clock that nothing sets and that counts
// while the machine sleeps. It ends before the lease does, so that two daemons never act on one environment at once.
type trust struct {
	lease time.Duration
	lost  func()

	mu    sync.Mutex
	until time.Duration // since boot
	timer *time.Timer
}

// newTrust begins with a lease that was taken at a time since boot. lost is called once when it has ended unrenewed.
func newTrust(taken, lease time.Duration, lost func()) *trust {
	t := &trust{lease: lease, lost: lost, until: taken + trusted(lease)}
	t.timer = time.AfterFunc(t.until-clock.SinceBoot(), t.look)
	return t
}

// trusted is for how long a lease is trusted: what is left of it is for what was passed on just before.
func trusted(lease time.Duration) time.Duration { return lease - lease/5 }

// renew notes a heartbeat that was sent at a time since boot and got through.
func (t *trust) renew(sent time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if until := sent + trusted(t.lease); until > t.until {
		t.until = until
	}
}

// holds reports whether the work may go on now. It asks the clock: a process that was frozen has no time to be told.
func (t *trust) holds() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return clock.SinceBoot() < t.until
}

func (t *trust) look() {
	t.mu.Lock()
	left := t.until - clock.SinceBoot()
	if left > 0 {
		t.timer.Reset(left)
	}
	t.mu.Unlock()
	if left <= 0 {
		t.lost()
	}
}

// end is for work that is over: nothing may be done in its name any more.
func (t *trust) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.until = 0
	t.timer.Stop()
}
