package bus

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestPlanningRests: planning takes at most a fifth of the time, however often it is asked for.
func TestPlanningRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		wake := make(chan struct{}, 1)
		const each = 2 * time.Millisecond
		plans, began := 0, time.Now()
		Loop(ctx, wake, Rested(ctx, func() time.Duration {
			if plans++; plans > 5 {
				cancel()
				return 0
			}
			Nudge(wake) // somebody always asks for one
			time.Sleep(each)
			return time.Hour
		}))
		if all, want := time.Since(began), 5*(1+restShare)*each; all != want {
			t.Errorf("five plans of %s took %s, want %s", each, all, want)
		}
	})
}

// TestPlanningRestsBriefly: what is due waits at most mostRest for a plan, however long the last one took.
func TestPlanningRestsBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var began []time.Time
		once := Rested(t.Context(), func() time.Duration {
			began = append(began, time.Now())
			time.Sleep(10 * mostRest)
			return time.Hour
		})
		once()
		if wait := once(); wait != time.Hour {
			t.Errorf("it waits for %s afterwards, want %s", wait, time.Hour)
		}
		if rest := began[1].Sub(began[0]) - 10*mostRest; rest != mostRest {
			t.Errorf("it rested for %s, want %s", rest, mostRest)
		}
	})
}

// TestUrgentPlanningNeedNotRest: a plan that is asked for when the last one was a while ago is made at once.
func TestUrgentPlanningNeedNotRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		once := Rested(t.Context(), func() time.Duration { time.Sleep(time.Millisecond); return 0 })
		once()
		time.Sleep(restShare * time.Millisecond)
		before := time.Now()
		once()
		if took := time.Since(before); took != time.Millisecond {
			t.Errorf("it took %s, want %s", took, time.Millisecond)
		}
	})
}

// TestLoopsWakeUpTogether: what is done now and then is done on the beat, so that an idle daemon wakes up once for
// all of it; never later than asked for, and what is due sooner is done when it is due.
func TestLoopsWakeUpTogether(t *testing.T) {
	at := time.Date(2026, 5, 6, 7, 8, 11, 0, time.UTC) // a second after a beat
	for wait, want := range map[time.Duration]time.Duration{
		0: 0, time.Millisecond: time.Millisecond, beat - 1: beat - 1, // due soon
		beat: 4 * time.Second, 8 * time.Second: 4 * time.Second, 9 * time.Second: 9 * time.Second, bar - 1: 14 * time.Second,
		bar: 4 * time.Second, 19 * time.Second: 19 * time.Second, 30 * time.Second: 19 * time.Second, 34 * time.Second: 34 * time.Second,
	} {
		if got := onBeat(at, wait); got != want {
			t.Errorf("asked to wait for %s it waits for %s, want %s", wait, got, want)
		}
	}
}
