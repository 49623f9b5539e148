package engine

import (
	"context"
	"testing"
	"time"
)

// TestPlanningRests: planning takes at most a fifth of the time, however often it is asked for.
func TestPlanningRests(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wake := make(chan struct{}, 1)
	var busy time.Duration
	plans, began := 0, time.Now()
	loop(ctx, wake, rested(ctx, func() time.Duration {
		if plans++; plans > 5 {
			cancel()
			return 0
		}
		nudge(wake) // somebody always asks for one
		planning := time.Now()
		for time.Since(planning) < 2*time.Millisecond {
			continue
		}
		busy += time.Since(planning)
		return time.Hour
	}))
	if all := time.Since(began); all < (1+restShare)*busy {
		t.Errorf("planning took %s of %s, want at most one part in %d", busy, all, 1+restShare)
	}
}

// TestPlanningRestsBriefly: what is due waits at most mostRest for a plan, however long the last one took.
func TestPlanningRestsBriefly(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	wait := rested(ended, func() time.Duration {
		for began := time.Now(); time.Since(began) < mostRest/restShare+time.Millisecond; {
			continue
		}
		return time.Hour
	})()
	if want := time.Hour - mostRest; wait != want {
		t.Errorf("it waits for %s after the rest, want %s", wait, want)
	}
}
