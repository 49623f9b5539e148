package clock

import (
	"sync"
	"time"
)

// Trust is how long a piece of work may go on since its lease was last renewed, by a clock that nothing sets and that counts
// while the machine sleeps. It ends before the lease does, so that two daemons never act on one environment at once.
type Trust struct {
	lease time.Duration
	lost  func()

	mu    sync.Mutex
	until time.Duration // since boot
	timer *time.Timer
}

// NewTrust begins with a lease that was taken at a time since boot. lost is called once when it has ended unrenewed.
func NewTrust(taken, lease time.Duration, lost func()) *Trust {
	t := &Trust{lease: lease, lost: lost, until: taken + Trusted(lease)}
	t.timer = time.AfterFunc(t.until-SinceBoot(), t.look)
	return t
}

// Trusted is for how long a lease is trusted: what is left of it is for what was passed on just before.
func Trusted(lease time.Duration) time.Duration { return lease - lease/5 }

// Renew notes a heartbeat that was sent at a time since boot and got through.
func (t *Trust) Renew(sent time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if until := sent + Trusted(t.lease); until > t.until {
		t.until = until
	}
}

// Holds reports whether the work may go on now. It asks the clock: a process that was frozen hears of it too late.
func (t *Trust) Holds() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return SinceBoot() < t.until
}

func (t *Trust) look() {
	t.mu.Lock()
	left := t.until - SinceBoot()
	if left > 0 {
		t.timer.Reset(left)
	}
	t.mu.Unlock()
	if left <= 0 {
		t.lost()
	}
}

// End is for work that is over: nothing may be done in its name any more.
func (t *Trust) End() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.until = 0
	t.timer.Stop()
}
