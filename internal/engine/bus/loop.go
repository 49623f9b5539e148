package bus

import (
	"context"
	"math/rand/v2"
	"time"
)

// Loop calls once now, and again whenever it is woken or the time that once
// returned has passed, until ctx ends. A nil wake never wakes it.
func Loop(ctx context.Context, wake <-chan struct{}, once func() time.Duration) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-timer.C:
		}
		wait := once()
		timer.Reset(onBeat(time.Now().Add(phase), wait))
	}
}

// beat is the clock's multiple of time at which is done what need not be to the second, and bar that of what is done
// seldom: a process that wakes up once for all of it takes less of the machine than one that wakes up for each.
const (
	beat = 5 * time.Second
	bar  = 15 * time.Second
)

// phase is how far this process's beat is off the clock's: daemons do not all wake in the same second.
var phase = time.Duration(rand.Int64N(int64(bar)))

// apartBy is the most by which a wait is shortened, so that those that fail together do not all try again together.
const apartBy = 0.2

// Apart is a wait, less a part of it that chance draws.
func (b *Bus) Apart(wait time.Duration) time.Duration {
	return wait - time.Duration(apartBy*b.chance()*float64(wait))
}

// onBeat makes a wait of a beat or more end on the last beat within it, one of a bar or more on the last bar.
func onBeat(now time.Time, wait time.Duration) time.Duration {
	switch {
	case wait < beat:
		return wait
	case wait < bar:
		return now.Add(wait).Truncate(beat).Sub(now)
	}
	return now.Add(wait).Truncate(bar).Sub(now)
}

// restShare and mostRest bound what planning takes. A plan reads every environment, and each claim asks for a plan.
// It is followed by a rest of restShare times as long as it took, but not over mostRest: so planning leaves most of
// the machine to the requests that come meanwhile, all of which the next plan sees at once, and what is due is at
// most that late.
const (
	restShare = 4
	mostRest  = 500 * time.Millisecond
)

// Rested is once, which rests before it is done again.
func Rested(ctx context.Context, once func() time.Duration) func() time.Duration {
	var until time.Time
	return func() time.Duration {
		if rest := time.Until(until); rest > 0 && Wait(ctx, nil, rest) != nil {
			return mostRest
		}
		began := time.Now()
		wait := once()
		ended := time.Now()
		until = ended.Add(min(restShare*ended.Sub(began), mostRest))
		return wait
	}
}

// Nudge wakes a loop without ever blocking; one pending wake-up is enough.
func Nudge(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Wait waits until it is woken, most has passed, or ctx ends, which is the only error.
func Wait(ctx context.Context, wake <-chan struct{}, most time.Duration) error {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-wake:
	case <-timer.C:
	}
	return nil
}

// Backoff is the wait before another try, doubling from 1 s to 30 s.
func Backoff(failed int) time.Duration { return Doubled(time.Second, failed, 30*time.Second) }

// Doubled is a wait that doubles so many times, up to the longest.
func Doubled(first time.Duration, times int, longest time.Duration) time.Duration {
	return min(first<<min(max(times, 0), 10), longest)
}
