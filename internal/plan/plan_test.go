package plan_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func env(id string, state fleet.State, change ...func(*fleet.Environment)) fleet.Environment {
	e := fleet.Environment{ID: id, Name: id, State: state, Revision: 3, CreatedAt: now.Add(-time.Hour)}
	if state == fleet.Leased {
		e.Lease = fleet.Lease{TTL: time.Hour, Start: now.Add(-30 * time.Minute), End: now.Add(30 * time.Minute)}
	}
	for _, c := range change {
		c(&e)
	}
	return e
}

func leaseEnds(at time.Time) func(*fleet.Environment) {
	return func(e *fleet.Environment) { e.Lease.End = at }
}

func createdAt(at time.Time) func(*fleet.Environment) {
	return func(e *fleet.Environment) { e.CreatedAt = at }
}

func deadline(at time.Time) func(*fleet.Environment) {
	return func(e *fleet.Environment) { e.Work.Deadline = at }
}

func workedUntil(at time.Time) func(*fleet.Environment) {
	return func(e *fleet.Environment) { e.Work.Worker, e.Work.Until = "w", at }
}

func TestCompute(t *testing.T) {
	tests := map[string]struct {
		in   plan.Snapshot
		want plan.Plan
	}{
		"nothing to do for nobody": {},
		"a lease that runs is left alone until its end": {
			in:   plan.Snapshot{Environments: []fleet.Environment{env("a", fleet.Leased)}, Capacity: 1},
			want: plan.Plan{Next: now.Add(30 * time.Minute)},
		},
		"a lease that ends now is reaped": {
			in:   plan.Snapshot{Environments: []fleet.Environment{env("a", fleet.Leased, leaseEnds(now))}, Capacity: 1},
			want: plan.Plan{Actions: []plan.Action{{EnvironmentID: "a", Revision: 3, Kind: plan.Destroy, Reason: "its lease ended"}}},
		},
		"one nanosecond before its end it is not": {
			in:   plan.Snapshot{Environments: []fleet.Environment{env("a", fleet.Leased, leaseEnds(now.Add(1)))}, Capacity: 1},
			want: plan.Plan{Next: now.Add(1)},
		},
		"a failed one is destroyed": {
			in:   plan.Snapshot{Environments: []fleet.Environment{env("a", fleet.Failed)}, Capacity: 1},
			want: plan.Plan{Actions: []plan.Action{{EnvironmentID: "a", Revision: 3, Kind: plan.Destroy, Reason: "it failed; what it left is removed"}}},
		},
		"a create past its deadline that nobody works on is given up": {
			in:   plan.Snapshot{Environments: []fleet.Environment{env("a", fleet.Provisioning, deadline(now))}, Capacity: 1},
			want: plan.Plan{Actions: []plan.Action{{EnvironmentID: "a", Revision: 3, Kind: plan.GiveUp, Reason: "it was not ready by its deadline"}}},
		},
		"one that is worked on is looked at again when its worker falls silent": {
			in:   plan.Snapshot{Environments: []fleet.Environment{env("a", fleet.Provisioning, deadline(now), workedUntil(now.Add(time.Second)))}, Capacity: 1},
			want: plan.Plan{Next: now.Add(time.Second)},
		},
		"people are admitted first come first served, as far as capacity goes": {
			in: plan.Snapshot{Environments: []fleet.Environment{
				env("late", fleet.Pending, createdAt(now)),
				env("early", fleet.Pending, createdAt(now.Add(-time.Minute))),
				env("middle", fleet.Pending, createdAt(now.Add(-time.Second))),
				env("busy", fleet.Provisioning),
			}, Capacity: 2},
			want: plan.Plan{
				Actions: []plan.Action{{EnvironmentID: "early", Revision: 3, Kind: plan.Start}},
				Waiting: []plan.Wait{
					{EnvironmentID: "middle", Revision: 3, Rank: 1, Reason: "as many environments as allowed are being made"},
					{EnvironmentID: "late", Revision: 3, Rank: 2, Reason: "as many environments as allowed are being made"},
				},
			},
		},
		"nobody is admitted while the engine is away, but leases still end": {
			in: plan.Snapshot{Environments: []fleet.Environment{
				env("a", fleet.Pending), env("b", fleet.Leased, leaseEnds(now.Add(-time.Hour))),
			}, Capacity: 2, Unavailable: "the engine is away"},
			want: plan.Plan{
				Actions: []plan.Action{{EnvironmentID: "b", Revision: 3, Kind: plan.Destroy, Reason: "its lease ended"}},
				Waiting: []plan.Wait{{EnvironmentID: "a", Revision: 3, Rank: 1, Reason: "the engine is away"}},
			},
		},
		"what is going is left to go": {
			in: plan.Snapshot{Environments: []fleet.Environment{env("a", fleet.Destroying)}, Capacity: 1},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, plan.Compute(tc.in, now)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// snapshot draws any mixture of environments, legal or odd.
func snapshot(t *rapid.T) plan.Snapshot {
	var envs []fleet.Environment
	for i := range rapid.IntRange(0, 40).Draw(t, "environments") {
		state := rapid.SampledFrom(fleet.States()[:6]).Draw(t, "state")
		offset := func(label string) time.Time {
			return now.Add(time.Duration(rapid.IntRange(-5, 5).Draw(t, label)) * time.Minute)
		}
		e := env(fmt.Sprintf("e%02d", i), state, createdAt(offset("created")))
		switch state {
		case fleet.Leased:
			e.Lease.End = offset("end")
		case fleet.Provisioning:
			e.Work.Deadline = offset("deadline")
			if rapid.Bool().Draw(t, "worked") {
				e.Work.Worker, e.Work.Until = "w", offset("until")
			}
		}
		envs = append(envs, e)
	}
	return plan.Snapshot{Environments: envs, Capacity: rapid.IntRange(0, 10).Draw(t, "capacity")}
}

// TestPromises checks on random fleets what must hold in every plan.
func TestPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := snapshot(t)
		before := slices.Clone(s.Environments)
		p := plan.Compute(s, now)

		if diff := cmp.Diff(before, s.Environments); diff != "" {
			t.Fatalf("the snapshot was changed:\n%s", diff)
		}
		byID := map[string]fleet.Environment{}
		making := 0
		for _, e := range s.Environments {
			byID[e.ID] = e
			if e.State == fleet.Provisioning {
				making++
			}
		}
		acted := map[string]bool{}
		starts := 0
		for _, a := range p.Actions {
			e := byID[a.EnvironmentID]
			if acted[a.EnvironmentID] {
				t.Fatalf("%s is acted on twice", a.EnvironmentID)
			}
			acted[a.EnvironmentID] = true
			switch a.Kind {
			case plan.Start:
				starts++
				if !e.State.CanBecome(fleet.Provisioning) {
					t.Fatalf("start of %s in state %s", a.EnvironmentID, e.State)
				}
			case plan.Destroy:
				if e.State == fleet.Leased && now.Before(e.Lease.End) {
					t.Fatalf("a leased one would be destroyed %s before its time", e.Lease.End.Sub(now))
				}
				if !e.State.CanBecome(fleet.Destroying) {
					t.Fatalf("destroy of %s in state %s", a.EnvironmentID, e.State)
				}
			case plan.GiveUp:
				if e.Work.Worker != "" && now.Before(e.Work.Until) {
					t.Fatalf("given up although %s is worked on", a.EnvironmentID)
				}
			}
		}
		if starts > 0 && making+starts > s.Capacity {
			t.Fatalf("%d in the making and %d started exceed the capacity of %d", making, starts, s.Capacity)
		}
		for _, e := range s.Environments {
			if e.State == fleet.Leased && e.Lease.Expired(now) && !acted[e.ID] {
				t.Fatalf("%s outlives its lease", e.ID)
			}
			if e.State == fleet.Failed && !acted[e.ID] {
				t.Fatalf("%s failed and is forgotten", e.ID)
			}
		}
		if !p.Next.IsZero() && !p.Next.After(now) {
			t.Fatalf("next look at %s is not in the future", p.Next)
		}
	})
}

// TestOrderDoesNotMatter: the same fleet in another order gives the same plan.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := snapshot(t)
		want := plan.Compute(s, now)
		rng := rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "seed")))
		rng.Shuffle(len(s.Environments), func(i, j int) {
			s.Environments[i], s.Environments[j] = s.Environments[j], s.Environments[i]
		})
		if diff := cmp.Diff(want, plan.Compute(s, now)); diff != "" {
			t.Fatalf("plan depends on the order (-want +got):\n%s", diff)
		}
	})
}

// TestNextIsExact: nothing changes before Next, and something does at it.
func TestNextIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := snapshot(t)
		p := plan.Compute(s, now)
		if p.Next.IsZero() {
			return
		}
		if diff := cmp.Diff(p.Actions, plan.Compute(s, p.Next.Add(-1)).Actions); diff != "" {
			t.Fatalf("the plan changed before %s:\n%s", p.Next, diff)
		}
		if cmp.Equal(p.Actions, plan.Compute(s, p.Next).Actions) {
			t.Fatalf("nothing changed at %s", p.Next)
		}
	})
}

func BenchmarkCompute10000(b *testing.B) {
	s := plan.Snapshot{Capacity: 4}
	for i := range 10_000 {
		s.Environments = append(s.Environments, env(fmt.Sprintf("e%05d", i), fleet.Leased))
	}
	for b.Loop() {
		plan.Compute(s, now)
	}
}
