package clock

import (
	"testing"
	"time"
)

// Promise: work whose heartbeats no longer get through stops before its lease is over.
func TestPromiseTrustEndsBeforeTheLease(t *testing.T) {
	t.Parallel()
	const lease = time.Hour
	lost := make(chan struct{})
	tr := NewTrust(SinceBoot()-lease/2, lease, func() { close(lost) })
	defer tr.End()
	if !tr.Holds() {
		t.Error("half of a lease before its end it holds no more")
	}
	tr.until = SinceBoot() + time.Second // the lease's time goes by
	tr.Renew(SinceBoot() - lease)        // a heartbeat that took an hour to be sent adds nothing
	if left := tr.until - SinceBoot(); left > time.Second {
		t.Errorf("an old heartbeat renewed it to %s", left)
	}
	tr.Renew(SinceBoot())
	if left := tr.until - SinceBoot(); left < lease*3/4 || left > lease*4/5 {
		t.Errorf("a heartbeat renewed it to %s, want four fifths of the lease", left)
	}
	tr.mu.Lock()
	tr.until = SinceBoot()
	tr.mu.Unlock()
	if tr.Holds() {
		t.Error("it holds after its time")
	}
	tr.look()
	<-lost
}

func TestTrustIsLookedAtAgainAfterAHeartbeat(t *testing.T) {
	t.Parallel()
	lost := make(chan time.Duration, 1)
	began := SinceBoot()
	const lease = 200 * time.Millisecond
	tr := NewTrust(began, lease, func() { lost <- SinceBoot() })
	defer tr.End()
	tr.Renew(began + lease/2)
	if at := <-lost; at-began < Trusted(lease)+lease/2 {
		t.Errorf("it was lost after %s, want not before %s", at-began, Trusted(lease)+lease/2)
	}
}
