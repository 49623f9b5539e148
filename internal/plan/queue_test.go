package plan_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
)

// full is one host of n places, all taken by leases of team web that end in 1, 2, 3 ... hours.
func full(n int, ask ...fleet.Environment) plan.Snapshot {
	s := snap(ask...)
	for i := range n {
		s.Environments = append(s.Environments, env(fmt.Sprintf("x%d", i), fleet.Leased, leaseEnds(time.Duration(i+1)*time.Hour)))
	}
	s.Hosts = []fleet.Host{host("h", int64(n), 0)}
	return s
}

func ranks(p plan.Plan) (ids []string) {
	for i, w := range p.Waiting {
		if w.Rank != i+1 {
			ids = append(ids, fmt.Sprintf("rank %d at place %d", w.Rank, i+1))
		}
		ids = append(ids, w.EnvironmentID)
	}
	return ids
}

func TestQueue(t *testing.T) {
	ask := func(id, team string, ago time.Duration) fleet.Environment {
		return env(id, fleet.Pending, of(team), createdAt(ago))
	}
	minutes := func(n int) time.Duration { return time.Duration(n) * time.Minute }
	weighted := full(4, ask("a1", "a", 9), ask("a2", "a", 8), ask("a3", "a", 7), ask("b1", "b", 6), ask("b2", "b", 5))
	weighted.Weights = []fleet.Weight{{Tenant: "acme", Team: "b", Weight: 2}, {Tenant: "other", Team: "a", Weight: 99}}
	zero := full(4, ask("a1", "a", 9), ask("a2", "a", 8), ask("b1", "b", 6))
	zero.Weights = []fleet.Weight{{Tenant: "acme", Team: "b", Weight: 0}, {Tenant: "acme", Team: "a", Weight: -3}}
	namesakes := full(4, ask("a1", "a", 9), ask("a2", "a", 8), ask("b1", "a", 7))
	namesakes.Environments[2].Tenant = "other"
	dominant := snap(env("cpu", fleet.Leased, of("a"), sized(8)), env("x", fleet.Leased, of("b")), env("y", fleet.Leased, of("b")),
		ask("a1", "a", 9), ask("b1", "b", 8))
	dominant.Hosts, dominant.Concurrency = []fleet.Host{host("h", 100, 10)}, 0
	tests := map[string]struct {
		in   plan.Snapshot
		want []string
	}{
		"by age within a team":                          {full(1, ask("b", "web", 1), ask("a", "web", 2)), []string{"a", "b"}},
		"by id at the same moment":                      {full(1, ask("b", "web", 1), ask("a", "web", 1)), []string{"a", "b"}},
		"teams take turns":                              {full(4, ask("a1", "a", 9), ask("a2", "a", 8), ask("b1", "b", 7), ask("b2", "b", 6)), []string{"a1", "b1", "a2", "b2"}},
		"who has something waits":                       {full(4, ask("w", "web", 9), ask("a1", "a", 8), ask("a2", "a", 7)), []string{"a1", "a2", "w"}},
		"a weight of 2 takes 2 turns":                   {weighted, []string{"a1", "b1", "b2", "a2", "a3"}},
		"a weight of nothing counts 1":                  {zero, []string{"a1", "b1", "a2"}},
		"teams of the same name in two tenants are two": {namesakes, []string{"a1", "b1", "a2"}},
		"the scarcest thing that a team has counts":     {dominant, []string{"b1", "a1"}},
		// Team b has nothing, so it would come first; team web was given nothing for ten minutes.
		"a team that was given nothing for ten minutes comes first": {
			full(4, ask("w1", "web", minutes(10)), ask("w2", "web", minutes(10)), ask("b1", "b", 1)), []string{"w1", "b1", "w2"},
		},
		"a nanosecond before it does not": {full(4, ask("w1", "web", minutes(10)-1), ask("b1", "b", 1)), []string{"b1", "w1"}},
		"the longest starved first":       {full(4, ask("a1", "a", minutes(11)), ask("b1", "b", minutes(12))), []string{"b1", "a1"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, ranks(plan.Compute(tc.in, now))); diff != "" {
				t.Errorf("queue (-want +got):\n%s", diff)
			}
		})
	}
}

// TestServedTeamsAreNotStarved: old requests of a team that is being served do not come first.
func TestServedTeamsAreNotStarved(t *testing.T) {
	old, young := createdAt(time.Hour), createdAt(time.Minute)
	served := map[string]fleet.Environment{
		"being made":     env("x", fleet.Provisioning, of("a")),
		"just handed":    env("x", fleet.Leased, of("a"), func(e *fleet.Environment) { e.Lease.Start = now.Add(-time.Minute) }),
		"just got ready": env("x", fleet.Leased, of("a"), func(e *fleet.Environment) { e.ReadyAt = now.Add(-time.Minute) }),
	}
	for name, x := range served {
		s := plan.Snapshot{
			Environments: envs(x, env("a1", fleet.Pending, of("a"), old), env("b1", fleet.Pending, of("b"), young)),
			Hosts:        []fleet.Host{host("h", 1, 0)}, Concurrency: 9,
		}
		if got := ranks(plan.Compute(s, now)); got[0] != "b1" {
			t.Errorf("%s: the queue is %v", name, got)
		}
	}
}

// TestNextIsWhenATeamStarves: the queue is looked at again when its order changes by time alone, also for
// a team that has asked, or was given something, at the very moment of the plan.
func TestNextIsWhenATeamStarves(t *testing.T) {
	given := func(state fleet.State) fleet.Environment {
		return env("x", state, of("a"), func(e *fleet.Environment) { e.Lease.Start = now })
	}
	tests := map[string]struct {
		envs []fleet.Environment
		want time.Duration
	}{
		"asked before":     {envs(env("a", fleet.Pending, of("a"), createdAt(4*time.Minute))), 6 * time.Minute},
		"asked just now":   {envs(env("a", fleet.Pending, of("a"))), 10 * time.Minute},
		"given just now":   {envs(env("a", fleet.Pending, of("a"), createdAt(time.Hour)), given(fleet.Leased)), 10 * time.Minute},
		"while it is made": {envs(env("a", fleet.Pending, of("a"), createdAt(time.Hour)), given(fleet.Provisioning)), time.Hour},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := full(4)
			s.Environments = append(s.Environments, tc.envs...)
			if got := plan.Compute(s, now).Next.Sub(now); got != tc.want {
				t.Errorf("next look in %s, want %s", got, tc.want)
			}
		})
	}
}
