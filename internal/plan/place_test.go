package plan_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
)

func TestPlacement(t *testing.T) {
	drained := func(h fleet.Host) fleet.Host { h.Drained = true; return h }
	down := func(h fleet.Host) fleet.Host { h.Down = "its engine does not answer"; return h }
	unserved := func(h fleet.Host) fleet.Host { h.Worker = ""; return h }
	silent := func(h fleet.Host) fleet.Host { h.Until = now; return h }
	ask := env("a", fleet.Pending)
	tests := map[string]struct {
		in   plan.Snapshot
		want string
	}{
		"no host": {plan.Snapshot{Environments: envs(ask), Concurrency: 1}, "1. a: no engine host is declared"},
		"the host with the most free share, not the most free": {
			plan.Snapshot{
				Environments: envs(ask, env("x", fleet.Leased, on("big")), env("y", fleet.Leased, on("big")),
					env("z", fleet.Leased, on("big"))),
				Hosts: []fleet.Host{host("big", 6, 0), host("small", 4, 0)}, Concurrency: 1,
			}, "start a on small",
		},
		"the scarcest thing counts": {
			plan.Snapshot{
				Environments: envs(ask, env("x", fleet.Leased, on("b"), sized(7))),
				Hosts:        []fleet.Host{host("b", 100, 8), host("c", 2, 0)}, Concurrency: 1,
			}, "start a on c",
		},
		"the first by name of equals": {
			plan.Snapshot{Environments: envs(ask), Hosts: []fleet.Host{host("c", 2, 2), host("b", 2, 2)}, Concurrency: 1},
			"start a on b",
		},
		"the one with the fewest where nothing is bounded": {
			plan.Snapshot{
				Environments: envs(ask, env("x", fleet.Leased, on("b"))),
				Hosts:        []fleet.Host{host("b", 0, 0), host("c", 0, 0)}, Concurrency: 1,
			}, "start a on c",
		},
		"what is being destroyed takes room until it is gone": {
			plan.Snapshot{
				Environments: envs(ask, env("x", fleet.Destroying)),
				Hosts:        []fleet.Host{host("h", 1, 0)}, Concurrency: 1,
			}, "1. a: all hosts are full",
		},
		"a full host beside those that cannot be used": {
			plan.Snapshot{
				Environments: envs(ask, env("x", fleet.Leased)), Concurrency: 1,
				Hosts: []fleet.Host{host("h", 1, 0), unserved(host("i", 2, 0)), drained(host("j", 2, 0)), unserved(func() fleet.Host {
					h := host("small", 2, 0)
					h.Capacity.MemoryMiB = 1
					return h
				}())},
			}, "1. a: all hosts that can be used are full; host i is not served by a running daemon; host j is drained",
		},
		"drained": {
			plan.Snapshot{Environments: envs(ask), Hosts: []fleet.Host{drained(host("h", 9, 0))}, Concurrency: 1},
			"1. a: host h is drained",
		},
		"down": {
			plan.Snapshot{Environments: envs(ask), Hosts: []fleet.Host{down(host("h", 9, 0))}, Concurrency: 1},
			"1. a: host h cannot be used: its engine does not answer",
		},
		"not served": {
			plan.Snapshot{Environments: envs(ask), Hosts: []fleet.Host{unserved(host("h", 9, 0)), silent(host("i", 9, 0))}, Concurrency: 1},
			"1. a: no host is served by a running daemon",
		},
		"unavailable": {
			plan.Snapshot{
				Environments: envs(ask), Hosts: []fleet.Host{host("h", 9, 0)}, Concurrency: 1,
				Unavailable: map[string]string{"h": "Terraform is not installed"},
			}, "1. a: Terraform is not installed",
		},
		"each host for its own reason": {
			plan.Snapshot{
				Environments: envs(ask),
				Hosts:        []fleet.Host{drained(host("h", 9, 0)), unserved(host("i", 9, 0)), host("j", 0, 0), drained(host("k", 1, 0))},
				Concurrency:  1, Unavailable: map[string]string{"j": "the engine is away"},
			}, "1. a: host h is drained; host i is not served by a running daemon; the engine is away; host k is drained",
		},
		"too large for all, however long it waits": {
			plan.Snapshot{Environments: envs(env("a", fleet.Pending, sized(4.0001))), Hosts: []fleet.Host{host("h", 9, 4)}, Concurrency: 1},
			"1. a: it is larger than every host",
		},
		"only the drained one is large enough": {
			plan.Snapshot{
				Environments: envs(env("a", fleet.Pending, sized(8))),
				Hosts:        []fleet.Host{host("h", 9, 4), drained(host("i", 9, 8))}, Concurrency: 1,
			}, "1. a: host i is drained",
		},
		"what hangs on a host that is down keeps no place": {
			plan.Snapshot{
				Environments: envs(ask, env("x", fleet.Provisioning)), // on host h
				Hosts:        []fleet.Host{down(host("h", 9, 0)), drained(host("i", 9, 0))}, Concurrency: 1,
			}, "1. a: host h cannot be used: its engine does not answer; host i is drained",
		},
		"concurrency": {
			plan.Snapshot{Environments: envs(ask, env("x", fleet.Provisioning)), Hosts: []fleet.Host{host("h", 9, 0)}, Concurrency: 1},
			"1. a: as many environments as allowed are being created",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff([]string{tc.want}, brief(plan.Compute(tc.in, now))); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMemoryIsBounded: all three dimensions of a host's capacity hold.
func TestMemoryIsBounded(t *testing.T) {
	h := host("h", 0, 0)
	h.Capacity = fleet.Capacity{MemoryMiB: 2048}
	s := plan.Snapshot{
		Environments: envs(env("a", fleet.Pending), env("b", fleet.Pending), env("c", fleet.Pending)),
		Hosts:        []fleet.Host{h}, Concurrency: 9,
	}
	want := []string{"start a on h", "start b on h", "1. c: all hosts are full"}
	if diff := cmp.Diff(want, brief(plan.Compute(s, now))); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

// TestHopelessRequestsBlockNobody: a request that no host could ever hold neither stops its own
// team, nor others, nor refills.
func TestHopelessRequestsBlockNobody(t *testing.T) {
	s := snap(env("huge", fleet.Pending, createdAt(time.Hour), sized(1000)), env("a", fleet.Pending))
	s.Hosts = []fleet.Host{host("h", 3, 9)}
	s.Pools = []plan.Pool{pool("builders", "k", 1)}
	want := []string{"start a on h", "refill builders 1", "1. huge: it is larger than every host"}
	if diff := cmp.Diff(want, brief(plan.Compute(s, now))); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

func TestEstimates(t *testing.T) {
	took := map[string]time.Duration{"d1": time.Minute}
	full := func(ask ...fleet.Environment) plan.Snapshot {
		s := snap(append(ask, env("x", fleet.Leased, leaseEnds(10*time.Minute)), env("y", fleet.Leased, leaseEnds(20*time.Minute)))...)
		s.Hosts = []fleet.Host{host("h", 2, 0)}
		s.CreateTimes = took
		return s
	}
	first, second, third := env("a", fleet.Pending, createdAt(3)), env("b", fleet.Pending, createdAt(2)), env("c", fleet.Pending, createdAt(1))
	going := full(first)
	going.Environments = append(going.Environments, env("z", fleet.Destroying))
	going.Hosts = []fleet.Host{host("h", 3, 0)}
	stuck := full(first)
	stuck.Hosts = []fleet.Host{host("h", 2, 0)}
	for i := range stuck.Environments[1:] {
		stuck.Environments[1+i].State, stuck.Environments[1+i].Work.Attempts = fleet.Destroying, 3
	}
	busy := full(first, second)
	busy.Hosts, busy.Concurrency = []fleet.Host{host("h", 9, 0)}, 1
	busy.Environments = append(busy.Environments, env("m", fleet.Provisioning))
	never := full(first)
	never.Concurrency = 0
	tests := map[string]struct {
		in   plan.Snapshot
		want []time.Duration // 0: it cannot be told
	}{
		"the end of the first lease and a create":      {full(first), []time.Duration{11 * time.Minute}},
		"each takes one lease's place, then another's": {full(first, second, third), []time.Duration{11 * time.Minute, 21 * time.Minute, 72 * time.Minute}},
		"what is about to go makes room now":           {going, []time.Duration{time.Minute}},
		"a destroy that keeps failing tells nothing":   {stuck, []time.Duration{0}},
		"creates wait for each other":                  {busy, []time.Duration{65 * time.Second, 125 * time.Second}},
		"nothing is made at all":                       {never, []time.Duration{0}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got []time.Duration
			for _, w := range plan.Compute(tc.in, now).Waiting {
				d := w.Estimate.Sub(now)
				if w.Estimate.IsZero() {
					d = 0
				}
				got = append(got, d)
			}
			if fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("estimates %v, want %v", got, tc.want)
			}
		})
	}
}
