package plan_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
)

func TestCompute(t *testing.T) {
	idle := func(ago time.Duration) change {
		return func(e *fleet.Environment) {
			e.Lease.Idle, e.Lease.ActiveAt = 10*time.Minute, now.Add(-ago)
		}
	}
	unwarned := func(e *fleet.Environment) { e.Lease.Warned = false }
	until := func(in time.Duration) change {
		return func(e *fleet.Environment) { e.Queue.Until = now.Add(in) }
	}

	tests := map[string]struct {
		in   plan.Snapshot
		want []string
		next time.Duration // 0: when the host falls silent
	}{
		"nothing to do for nobody": {},
		"a lease that runs is left alone until its end": {
			in: snap(env("a", fleet.Leased)), next: 30 * time.Minute,
		},
		"a lease that ends now is reaped": {
			in: snap(env("a", fleet.Leased, leaseEnds(0))), want: []string{"destroy a (expired)"},
		},
		"one nanosecond before its end it is not": {
			in: snap(env("a", fleet.Leased, leaseEnds(1))), next: 1,
		},
		"a lease that nobody uses ends earlier": {
			in: snap(env("a", fleet.Leased, idle(10*time.Minute))), want: []string{"destroy a (idle)"},
		},
		"use puts that off": {
			in: snap(env("a", fleet.Leased, idle(4*time.Minute))), next: 6 * time.Minute,
		},
		"the absolute end holds for those in use too": {
			in: snap(env("a", fleet.Leased, idle(0), leaseEnds(0))), want: []string{"destroy a (expired)"},
		},
		"a failed one is destroyed": {
			in: snap(env("a", fleet.Failed)), want: []string{"destroy a (failed)"},
		},
		"a create past its deadline that nobody works on is given up": {
			in: snap(env("a", fleet.Provisioning, deadline(0))), want: []string{"give-up a (deadline)"},
		},
		"one that is worked on is looked at again when its worker falls silent": {
			in: snap(env("a", fleet.Provisioning, deadline(0), workedUntil(time.Second))), next: time.Second,
		},
		"a create is looked at again at its deadline": {
			in: snap(env("a", fleet.Provisioning, deadline(time.Minute), workedUntil(time.Second))), next: time.Minute,
		},
		"a create without a deadline goes on": {
			in: snap(env("a", fleet.Provisioning)),
		},
		"what is going is left to go": {
			in: snap(env("a", fleet.Destroying)),
		},
		"what is gone is not there": {
			in: snap(env("a", fleet.Destroyed, leaseEnds(-time.Hour))),
		},
		"a request whose time to wait is over is refused, though there is room": {
			in: snap(env("a", fleet.Pending, until(0))), want: []string{"refuse a (queue-timeout)"},
		},
		"one that waits is looked at again when its time is over": {
			in:   plan.Snapshot{Environments: envs(env("a", fleet.Pending, until(time.Minute))), Hosts: snap().Hosts},
			want: []string{"1. a: as many environments as allowed are being created"}, next: time.Minute,
		},
		"under 10 % left is told once": {
			in:   snap(env("a", fleet.Leased, unwarned, leaseEnds(3*time.Minute)), env("b", fleet.Leased, leaseEnds(3*time.Minute))),
			want: []string{"warn a (lease-low)"}, next: 3 * time.Minute,
		},
		"at 10 % and above it is not told yet": {
			// 30 minutes have passed, 200 s are left: a tenth of 2,000 s.
			in: snap(env("a", fleet.Leased, unwarned, leaseEnds(200*time.Second))), next: 1,
		},
		"all in order": {
			in: snap(env("w", fleet.Leased, unwarned, leaseEnds(time.Minute)), env("p", fleet.Pending), env("f", fleet.Failed),
				env("e", fleet.Leased, leaseEnds(0)), env("o", fleet.Provisioning, deadline(0)), env("r", fleet.Pending, until(0))),
			want: []string{"destroy e (expired)", "destroy f (failed)", "give-up o (deadline)", "refuse r (queue-timeout)",
				"warn w (lease-low)", "start p on h"}, next: time.Minute,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := plan.Compute(tc.in, now)
			if tc.want == nil {
				tc.want = []string{}
			}
			if diff := cmp.Diff(tc.want, brief(p)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			if len(tc.in.Hosts) > 0 && tc.next == 0 {
				tc.next = tc.in.Hosts[0].Until.Sub(now)
			}
			want := time.Time{}
			if tc.next != 0 {
				want = now.Add(tc.next)
			}
			if !p.Next.Equal(want) {
				t.Errorf("next look at %s, want %s", p.Next, want)
			}
		})
	}
}

// TestNextIsWhenAHostFallsSilent: a host that nobody serves any more, or that is lost, makes another plan.
func TestNextIsWhenAHostFallsSilent(t *testing.T) {
	h := host("h", 1, 0)
	h.SeenAt, h.Until = now, now.Add(20*time.Second)
	if got := plan.Compute(plan.Snapshot{Hosts: []fleet.Host{h}}, now).Next.Sub(now); got != 20*time.Second {
		t.Errorf("next look in %s, want 20s", got)
	}
	if got := plan.Compute(plan.Snapshot{Hosts: []fleet.Host{h}}, h.Until).Next.Sub(now); got != fleet.LostAfter+1 {
		t.Errorf("next look in %s, want %s", got, fleet.LostAfter+1)
	}
}

// TestActionsHoldForOneRevision: an action names the row as it was seen, so that one that has moved drops it.
func TestActionsHoldForOneRevision(t *testing.T) {
	s := snap(env("a", fleet.Leased, leaseEnds(0)), env("b", fleet.Pending))
	s.Pools = []plan.Pool{pool("builders", "k", 2)}
	for _, a := range plan.Compute(s, now).Actions {
		if want := map[bool]int64{true: 7, false: 3}[a.Pool != ""]; a.Revision != want {
			t.Errorf("%s of %q%q is for revision %d, want %d", a.Kind, a.EnvironmentID, a.Pool, a.Revision, want)
		}
	}
}

// TestLostHostIsLeftAlone: nothing is recorded for what stands on a host that nobody serves, and
// nothing of it is forgotten: it counts for pools and concurrency. A create is given up at its deadline.
func TestLostHostIsLeftAlone(t *testing.T) {
	lost := host("lost", 10, 0)
	lost.SeenAt, lost.Until = now.Add(-fleet.LostAfter-1), now.Add(-time.Second)
	s := snap(
		env("ended", fleet.Leased, on("lost"), leaseEnds(-time.Hour)),
		env("broken", fleet.Failed, on("lost")),
		env("warm", fleet.Warm, on("lost"), member("builders", "k")),
		env("old", fleet.Warm, on("lost"), member("builders", "k0")),
		env("stray", fleet.Warm, on("lost"), member("removed", "k")),
		env("making", fleet.Provisioning, on("lost"), deadline(0)),
	)
	s.Hosts = append(s.Hosts, lost)
	s.Pools = []plan.Pool{pool("builders", "k", 2)}
	s.Pools[0].Max, s.Pools[0].Surge = 3, 0
	want := []string{"give-up making (deadline)", "refill builders 1"}
	if diff := cmp.Diff(want, brief(plan.Compute(s, now))); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	s.Hosts[1].SeenAt = now
	back := brief(plan.Compute(s, now))
	for _, act := range []string{"destroy ended (expired)", "destroy broken (failed)", "destroy stray (pool-removed)"} {
		if !slices.Contains(back, act) {
			t.Errorf("the host is back, but %q is not planned: %q", act, back)
		}
	}
}

// TestDoubtedIsLeftAlone: of what is from before a database was restored nothing is taken away, made or given up, and it fills no
// pool; but it stands where it stands, and takes room there.
func TestDoubtedIsLeftAlone(t *testing.T) {
	s := snap(
		env("ended", fleet.Leased, leaseEnds(-time.Hour)),
		env("low", fleet.Leased, leaseEnds(time.Second), func(e *fleet.Environment) { e.Lease.Warned = false }),
		env("broken", fleet.Failed),
		env("warm", fleet.Warm, member("builders", "k")),
		env("stray", fleet.Warm, member("removed", "k")),
		env("making", fleet.Provisioning, deadline(0)),
		env("asked", fleet.Pending, createdAt(time.Hour), func(e *fleet.Environment) { e.Queue.Until = now.Add(-time.Minute) }),
		env("new", fleet.Pending),
		env("ended too", fleet.Leased, createdAt(time.Second), leaseEnds(0)),
	)
	s.Hosts[0].Capacity = fleet.Capacity{Environments: 9}
	s.Pools = []plan.Pool{pool("builders", "k", 1)}
	for i := range s.Environments[:7] {
		s.Environments[i].Doubted = true
	}
	want := []string{"destroy ended too (expired)", "start new on h", "refill builders 1"}
	if diff := cmp.Diff(want, brief(plan.Compute(s, now))); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	s.Hosts[0].Capacity = fleet.Capacity{Environments: 7}
	want = []string{"destroy ended too (expired)", "1. new: all hosts are full"}
	if diff := cmp.Diff(want, brief(plan.Compute(s, now))); diff != "" {
		t.Errorf("where all room is taken, plan (-want +got):\n%s", diff)
	}
}
