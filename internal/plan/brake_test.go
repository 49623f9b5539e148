package plan_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
)

// ended is a fleet of n leases that ended, the first longest ago, and more that run on.
func ended(n, more int) plan.Snapshot {
	s := snap()
	for i := range n + more {
		in := time.Duration(i-n) * time.Second
		if i >= n {
			in = 100 * time.Hour
		}
		s.Environments = append(s.Environments, env(fmt.Sprintf("e%03d", i), fleet.Leased, leaseEnds(in)))
	}
	return s
}

func reaped(p plan.Plan) (n int) {
	for _, a := range p.Actions {
		if a.Kind == plan.Destroy {
			n++
		}
	}
	return n
}

// TestClocks is promise 17: a jump does not reap in mass, and says so.
func TestClocks(t *testing.T) {
	const day = 24 * time.Hour
	tests := map[string]struct {
		n, more       int
		jumped        time.Duration
		reaped, heldB int
	}{
		"time passes as it should, and all end together":      {100, 0, 0, 100, 0},
		"a minute is no jump":                                 {100, 0, time.Minute, 100, 0},
		"more is":                                             {100, 0, time.Minute + 1, 25, 75},
		"a day's jump":                                        {100, 100, day, 50, 50},
		"few are let go, whatever they are a part of":         {5, 0, day, 5, 0},
		"one more than few":                                   {6, 0, day, 5, 1},
		"a quarter of what lives, not of what is due":         {30, 90, day, 30, 0},
		"a quarter is rounded down":                           {31, 90, day, 30, 1},
		"the clock was set back: what is due was due already": {100, 0, -day, 100, 0},
		"nothing is due":                                      {0, 100, day, 0, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := ended(tc.n, tc.more)
			s.Jumped = tc.jumped
			p := plan.Compute(s, now)
			if got := reaped(p); got != tc.reaped || p.Braked != tc.heldB || p.Brake.On() != (tc.heldB > 0) {
				t.Errorf("%d reaped, %d held back, the brake is on: %t; want %d, %d", got, p.Braked, p.Brake.On(), tc.reaped, tc.heldB)
			}
			if p.Brake.On() && !strings.Contains(p.Brake.Reason, "time jumped by") {
				t.Errorf("the brake does not say why: %q", p.Brake.Reason)
			}
		})
	}
}

// TestBrakeTrickles: once it is on, a twentieth goes each minute, the longest overdue first, until
// nothing is due; then it is off, and what ends together is reaped together again.
func TestBrakeTrickles(t *testing.T) {
	s := ended(60, 40)
	s.Jumped = 24 * time.Hour
	at, left := now, 60
	for step, want := range []int{25, 0, 5, 0, 5, 5, 5, 5, 5, 5} {
		if step > 0 {
			at = at.Add(map[bool]time.Duration{true: 30 * time.Second, false: time.Minute}[step < 4 && step%2 == 1])
			if step == 2 || step == 4 {
				at = at.Add(-30 * time.Second)
			}
		}
		p := plan.Compute(s, at)
		if got := reaped(p); got != want {
			t.Fatalf("step %d: %d reaped, want %d", step, got, want)
		}
		for i := range want {
			if got := p.Actions[i].EnvironmentID; got != s.Environments[i].ID {
				t.Fatalf("step %d: %s goes before %s, which ended earlier", step, got, s.Environments[i].ID)
			}
		}
		left -= want
		if p.Braked != left || p.Brake.On() != (left > 0) {
			t.Fatalf("step %d: %d held back and on is %t, with %d left", step, p.Braked, p.Brake.On(), left)
		}
		if left > 0 && (p.Brake.Reaped != 60-left || p.Brake.Live != 100 || !p.Next.After(at) || p.Next.Sub(at) > time.Minute) {
			t.Fatalf("step %d: the brake is %+v, next look in %s", step, p.Brake, p.Next.Sub(at))
		}
		s.Environments, s.Brake, s.Jumped = s.Environments[want:], p.Brake, 0
	}
	if left != 0 {
		t.Fatalf("%d are still held back", left)
	}
}

// TestBrakeLetGoByAPerson: a person clears the brake, and the rest goes at once.
func TestBrakeLetGoByAPerson(t *testing.T) {
	s := ended(60, 0)
	s.Jumped = 24 * time.Hour
	plan.Compute(s, now)
	s.Brake, s.Jumped = fleet.Brake{}, 0
	if p := plan.Compute(s, now); reaped(p) != 60 || p.Brake.On() {
		t.Errorf("%d of 60 reaped, the brake is on: %t", reaped(p), p.Brake.On())
	}
}

// TestBrakeSurvivesASetBack: a clock that is set back while the brake is on does not stop the trickle until the old time comes again.
func TestBrakeSurvivesASetBack(t *testing.T) {
	s := ended(60, 0)
	s.Brake = fleet.Brake{Since: now.Add(24 * time.Hour), Live: 60, Reaped: 15, Last: now.Add(24 * time.Hour), Reason: "a jump"}
	p := plan.Compute(s, now)
	if reaped(p) != 0 || p.Next.Sub(now) != time.Minute {
		t.Fatalf("%d reaped, next look in %s", reaped(p), p.Next.Sub(now))
	}
	s.Brake = p.Brake
	if p := plan.Compute(s, now.Add(time.Minute)); reaped(p) != 3 {
		t.Errorf("%d reaped after a minute, want 3", reaped(p))
	}
}
