package engine

import (
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/engine/clock"
)

// Promise: work whose heartbeats no longer get through stops before its lease is over.
func TestPromiseTrustEndsBeforeTheLease(t *testing.T) {
	t.Parallel()
	const lease = time.Hour
	lost := make(chan struct{})
	tr := newTrust(clock.SinceBoot()-lease/2, lease, func() { close(lost) })
	defer tr.end()
	if !tr.holds() {
		t.Error("half of a lease before its end it holds no more")
	}
	tr.until = clock.SinceBoot() + time.Second // the lease's time goes by
	tr.renew(clock.SinceBoot() - lease)        // a heartbeat that took an hour to be sent adds nothing
	if left := tr.until - clock.SinceBoot(); left > time.Second {
		t.Errorf("an old heartbeat renewed it to %s", left)
	}
	tr.renew(clock.SinceBoot())
	if left := tr.until - clock.SinceBoot(); left < lease*3/4 || left > lease*4/5 {
		t.Errorf("a heartbeat renewed it to %s, want four fifths of the lease", left)
	}
	tr.mu.Lock()
	tr.until = clock.SinceBoot()
	tr.mu.Unlock()
	if tr.holds() {
		t.Error("it holds after its time")
	}
	tr.look()
	<-lost
}

func TestTrustIsLookedAtAgainAfterAHeartbeat(t *testing.T) {
	t.Parallel()
	lost := make(chan time.Duration, 1)
	began := clock.SinceBoot()
	const lease = 200 * time.Millisecond
	tr := newTrust(began, lease, func() { lost <- clock.SinceBoot() })
	defer tr.end()
	tr.renew(began + lease/2)
	if at := <-lost; at-began < trusted(lease)+lease/2 {
		t.Errorf("it was lost after %s, want not before %s", at-began, trusted(lease)+lease/2)
	}
}
