package fleet_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/fleet"
)

// TestTransitions compares the whole table of moves with a golden file, so that
// no move comes or goes unseen. To accept a change: BOTHY_GOLDEN=write go test.
func TestTransitions(t *testing.T) {
	var table strings.Builder
	fmt.Fprintf(&table, "%-13s", "from \\ to")
	for _, to := range fleet.States() {
		fmt.Fprintf(&table, " %-12s", to)
	}
	for _, from := range fleet.States() {
		fmt.Fprintf(&table, "\n%-13s", from)
		for _, to := range fleet.States() {
			mark := "."
			if from.CanBecome(to) {
				mark = "yes"
			}
			fmt.Fprintf(&table, " %-12s", mark)
		}
	}
	got := ""
	for line := range strings.Lines(table.String()) {
		got += strings.TrimRight(line, " \n") + "\n"
	}
	const golden = "testdata/transitions.golden"
	if os.Getenv("BOTHY_GOLDEN") == "write" {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Fatalf("the table of moves is another one (-want +got):\n%s", diff)
	}
}

// TestLife checks what must hold of any table of moves.
func TestLife(t *testing.T) {
	reach := reachable(fleet.Pending)
	for _, state := range fleet.States() {
		if !state.Valid() {
			t.Errorf("%s is not valid", state)
		}
		if state.CanBecome(state) {
			t.Errorf("%s can become itself", state)
		}
		if !reach[state] {
			t.Errorf("%s is never reached", state)
		}
		if state == fleet.Destroyed {
			continue
		}
		if !state.Live() {
			t.Errorf("%s is not live", state)
		}
		// Delete is accepted in every state.
		if state != fleet.Destroying && !state.CanBecome(fleet.Destroying) {
			t.Errorf("%s cannot be destroyed", state)
		}
		// Only a re-read that finds nothing ends a life, but for what never began.
		if state.CanBecome(fleet.Destroyed) && state != fleet.Destroying && state != fleet.Pending {
			t.Errorf("%s reaches destroyed without destroying", state)
		}
	}
	if fleet.Destroyed.Live() {
		t.Error("destroyed is live")
	}
	if after := reachable(fleet.Destroyed); len(after) != 1 {
		t.Errorf("there is life after destroyed: %v", after)
	}
	// A used environment never returns to others.
	if reachable(fleet.Leased)[fleet.Warm] {
		t.Error("a leased environment can become warm again")
	}
	for _, unknown := range []fleet.State{"", "asleep", "Pending"} {
		if unknown.Valid() || unknown.CanBecome(fleet.Destroying) || fleet.Pending.CanBecome(unknown) {
			t.Errorf("%q passes for a state", unknown)
		}
	}
}

// reachable gives every state that legal moves lead to, and from itself.
func reachable(from fleet.State) map[fleet.State]bool {
	seen := map[fleet.State]bool{from: true}
	for todo := []fleet.State{from}; len(todo) > 0; todo = todo[1:] {
		for _, next := range fleet.States() {
			if todo[0].CanBecome(next) && !seen[next] {
				seen[next] = true
				todo = append(todo, next)
			}
		}
	}
	return seen
}
