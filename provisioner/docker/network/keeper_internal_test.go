package network

import (
	"testing"

	"github.com/docker/docker/api/types/network"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/sandbox"
)

// TestAttachmentIsAsItWasWrittenDown: databases of earlier releases have it in this form.
func TestAttachmentIsAsItWasWrittenDown(t *testing.T) {
	if got := sandbox.AttachmentTo("bothy-i-net-3"); got != "container:bothy-i-net-3" || sandbox.SlotOf(string(got)) != "bothy-i-net-3" {
		t.Errorf("a slot is reserved as %q", got)
	}
}

// TestSpareIsNotHeld: rows that were read before a slot was given back do not make the spare one that took its name
// somebody's. It was once left behind at a clean stop.
func TestSpareIsNotHeld(t *testing.T) {
	s := slot{name: "net-6", id: "new"}
	k := &Keeper{held: map[string]int{}, making: map[int]bool{}, spare: []slot{s}}
	gone := k.settle([]slot{s}, map[string]network.Summary{s.name: {Name: s.name, ID: s.id}}, []provisioner.Attachment{sandbox.AttachmentTo(s.name)})
	if _, held := k.held[s.name]; held || len(gone) > 0 || len(k.spare) != 1 {
		t.Errorf("held %v, to be removed %v, spare %v; want it spare and nobody's", k.held, gone, k.spare)
	}
}

// TestANetworkOfAnotherDaemonIsMissedTwice: one daemon has reserved a network and not written it down when another takes its host over
// and sweeps with rows of before. The other removes it only when it misses it again.
func TestANetworkOfAnotherDaemonIsMissedTwice(t *testing.T) {
	t.Parallel()
	found := func(id string) map[string]network.Summary {
		return map[string]network.Summary{"net-1": {Name: "net-1", ID: id}}
	}
	for _, c := range []struct {
		name  string
		looks []map[string]network.Summary
		live  []provisioner.Attachment // of the look before the last
		want  int
	}{
		{"once", []map[string]network.Summary{found("a")}, nil, 0},
		{"twice", []map[string]network.Summary{found("a"), found("a")}, nil, 1},
		{"it was somebody's meanwhile", []map[string]network.Summary{found("a"), found("a"), found("a")}, []provisioner.Attachment{"container:net-1"}, 0},
		{"it was somebody's, as an earlier version wrote it down", []map[string]network.Summary{found("a"), found("a"), found("a")}, []provisioner.Attachment{"net-1"}, 0},
		{"another one of its name", []map[string]network.Summary{found("a"), found("b")}, nil, 0},
	} {
		k := &Keeper{held: map[string]int{}, making: map[int]bool{}}
		var gone []network.Summary
		for i, look := range c.looks {
			var live []provisioner.Attachment
			if i == len(c.looks)-2 {
				live = c.live
			}
			gone = k.settle(nil, look, live)
		}
		if len(gone) != c.want {
			t.Errorf("%s: %d are removed, want %d", c.name, len(gone), c.want)
		}
	}
}
