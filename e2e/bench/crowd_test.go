package main

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
)

// TestCrowdIsBusy: what the planner is measured with has everything that costs it time, and stays as large.
func TestCrowdIsBusy(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	var envs []fleet.Environment
	for n := range 10_000 {
		envs = append(envs, leasedRow(n, now, now.Add(time.Hour)))
	}
	s := crowd(envs, now)
	states := map[fleet.State]int{}
	for _, e := range s.Environments {
		states[e.State]++
	}
	if len(s.Hosts) != crowdHosts || len(s.Pools) != crowdPools || states[fleet.Pending] != 500 || states[fleet.Warm] != 500 || states[fleet.Provisioning] != 20 {
		t.Errorf("%d hosts, %d pools, %v", len(s.Hosts), len(s.Pools), states)
	}
	p := plan.Compute(s, now)
	kinds := map[plan.Kind]int{}
	for _, a := range p.Actions {
		kinds[a.Kind]++
	}
	// Every pool has its ten. 20 are in the making and 40 may be; the others are told when it is their turn.
	if kinds[plan.Start] != 20 || len(p.Actions) != 20 || len(p.Waiting) != 480 || p.Waiting[0].Estimate.IsZero() {
		t.Errorf("the plan has %v, and %d wait", kinds, len(p.Waiting))
	}
}

// TestPlanHasItsGoal: the figure of the largest installation is held against its goal, those of smaller ones are not.
func TestPlanHasItsGoal(t *testing.T) {
	database := "sqlite://" + filepath.Join(t.TempDir(), "rows.db")
	if _, err := writeRows(t.Context(), database, 100, 0); err != nil {
		t.Fatal(err)
	}
	for largest, want := range map[bool]goal{true: atMost(10), false: {}} {
		b := &bench{execs: 3}
		if err := b.tick(t.Context(), database, 100, largest); err != nil {
			t.Fatal(err)
		}
		if len(b.rows) != 3 || b.rows[1].name != "growth/plan-100" || b.rows[1].goal != want || len(b.rows[1].ours) != 3 {
			t.Errorf("largest %v: rows %+v, want the plan's with the goal %+v", largest, b.rows, want)
		}
	}
}
