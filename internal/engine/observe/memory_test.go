package observe

import (
	"testing"
	"time"
)

// TestOOMIsToldOnce: what a command's end, the runtime and the sweep all see is one event; many are a few events, which tell of
// all; and what one process told the next does not tell again.
func TestOOMIsToldOnce(t *testing.T) {
	o := &ooms{}
	now := time.Now()
	told, events := int64(0), 0
	see := func(kills int64, after time.Duration) {
		now = now.Add(after)
		for range 3 { // by whom it is seen makes no difference
			if _, n := o.next("e", kills, now); n > 0 {
				told, events = told+n, events+1
			}
		}
	}
	for kills := range int64(51) {
		see(kills, time.Second)
	}
	if events != 3 || told != 3 {
		t.Errorf("%d processes in %d events at first, want 3 in 3", told, events)
	}
	see(50, 11*time.Minute)
	if events != 4 || told != 50 {
		t.Errorf("%d processes in %d events later, want 50 in 4", told, events)
	}
	see(2, 11*time.Minute) // the sandbox was restarted, and its count with it
	if events != 5 || told != 52 {
		t.Errorf("%d processes in %d events after a restart, want 52 in 5", told, events)
	}
}
