package docker

import (
	"testing"

	"github.com/docker/docker/api/types/network"
)

// TestSpareIsNotHeld: rows that were read before a slot was given back do not make the spare one that took its name
// somebody's. It was once left behind at a clean stop.
func TestSpareIsNotHeld(t *testing.T) {
	s := slot{name: "net-6", id: "new"}
	k := &keeper{held: map[string]int{}, making: map[int]bool{}, spare: []slot{s}}
	gone := k.settle([]slot{s}, map[string]network.Summary{s.name: {Name: s.name, ID: s.id}}, []string{joinPrefix + s.name})
	if _, held := k.held[s.name]; held || len(gone) > 0 || len(k.spare) != 1 {
		t.Errorf("held %v, to be removed %v, spare %v; want it spare and nobody's", k.held, gone, k.spare)
	}
}
