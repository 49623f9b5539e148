package docker_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
)

// TestRaisedWeightIsPutBack: the weight that a sandbox has while it is handed over goes with the hand-over; one that a process
// had raised when it was killed is put back by the next one.
func TestRaisedWeightIsPutBack(t *testing.T) {
	e := newEngine(t)
	if os.Geteuid() != 0 {
		t.Skip("bothy changes no weights here: this process is not root")
	}
	parent, err := e.CgroupParent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id := e.sandbox(func(_ *container.Config, h *container.HostConfig) { h.CgroupParent, h.CPUShares = parent, 512 })
	group := e.GroupOf(t.Context(), id, "cpu")
	weight := func() string {
		for _, file := range []string{"cpu.shares", "cpu.weight"} {
			text, err := os.ReadFile(filepath.Join(group, file))
			if !errors.Is(err, fs.ErrNotExist) {
				return strings.TrimSpace(string(text))
			}
		}
		t.Fatalf("%s has no weight", group)
		return ""
	}
	own := weight()
	for range 2 {
		lower := e.Lift(t.Context(), id)
		raised := weight()
		again := e.Lift(t.Context(), id)
		if raised == own || weight() != raised {
			t.Fatalf("its weight is %s, and %s when it is raised again; its own is %s", raised, weight(), own)
		}
		again()
		lower()
		if now := weight(); now != own {
			t.Errorf("its weight is %s afterwards, want %s", now, own)
		}
	}
	stage, err := e.Stage(t.Context(), id, "dev")
	if err != nil {
		t.Fatal(err)
	}
	if err := stage.Claim(t.Context(), "claim", nil); err != nil || weight() != own {
		t.Errorf("handed over: %v; its weight is %s, want %s", err, weight(), own)
	}

	e.LeaveLifted(t.Context(), id)
	if weight() == own {
		t.Fatal("it is not raised: what follows proves nothing")
	}
	if err := e.Reconcile(t.Context(), nil); err != nil || weight() != own {
		t.Errorf("after a process was killed: %v; its weight is %s, want %s", err, weight(), own)
	}
}
