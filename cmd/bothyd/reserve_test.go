package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
)

// TestReserve: it is given up when the disk is nearly full, taken again once there is room for twice as much, and doctor tells.
func TestReserve(t *testing.T) {
	dir := &stateDir{path: t.TempDir(), reserve: newReserve("")}
	dir.reserve.dir = dir.path
	var free uint64
	dir.reserve.room = func(string) (uint64, uint64, error) { return free, 1 << 40, nil }
	doctor := diskCheck(dir)
	path := filepath.Join(dir.path, reserveFile)
	kept := func() bool {
		info, err := os.Stat(path)
		return err == nil && info.Size() == mostReserve
	}
	for _, step := range []struct {
		what   string
		free   uint64
		kept   bool
		status string
	}{
		{"a full disk from the start", mostReserve, false, service.Down},
		{"there is room", leastFree, true, service.OK},
		{"there is less", leastFree / 2, true, service.Warning},
		{"it is nearly full", mostReserve/2 - 1, false, service.Down},
		{"what was given up", mostReserve * 3 / 2, false, service.Down},
		{"there is room again", leastFree, true, service.OK},
	} {
		free = step.free
		err := dir.reserve.check()
		if (err == nil) != step.kept || kept() != step.kept {
			t.Errorf("%s: kept is %t, want %t; it says %v", step.what, kept(), step.kept, err)
		}
		if err != nil && fleet.CodeOf(err) != fleet.CodeUnavailable {
			t.Errorf("%s: the code is %s", step.what, fleet.CodeOf(err))
		}
		if c := doctor(t.Context()); c.Status != step.status || c.Status == service.Down && c.Hint == "" {
			t.Errorf("%s: doctor says %+v, want %s", step.what, c, step.status)
		}
	}
	// A copy of the folder has a hole in its place, which is no room.
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, mostReserve); err != nil {
		t.Fatal(err)
	}
	free = 0
	if err := dir.reserve.check(); err == nil {
		t.Error("a hole counts as room")
	}
}
