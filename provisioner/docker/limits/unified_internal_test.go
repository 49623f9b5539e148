package limits

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/provisioner/docker/cgroup"
	"github.com/bothy-env/bothy/provisioner/docker/cgroup/cgrouptest"
)

// TestUnifiedStandstill: with version 2 a sandbox's processes are moved into a frozen group of their own, and back.
func TestUnifiedStandstill(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	pid := strconv.Itoa(cmd.Process.Pid)
	dir := cgrouptest.Tree(t, map[string]string{"cgroup.procs": pid + "\n"})
	s := standstill{group: dir, id: strings.Repeat("0", 64), most: "512"}
	if err := os.Mkdir(s.dir(), 0o700); err != nil {
		t.Fatal(err)
	}
	files := func(change map[string]string) {
		t.Helper()
		for name, text := range change {
			if err := os.WriteFile(filepath.Join(s.dir(), name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	holds := func(file, want string) {
		t.Helper()
		if text, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(text)) != want {
			t.Errorf("%s holds %q, %v; want %q", strings.TrimPrefix(file, dir), text, err, want)
		}
	}
	files(map[string]string{"cgroup.procs": "", "cgroup.freeze": "0", "cgroup.events": "populated 1\nfrozen 1\n"})
	if err := s.begin(); err != nil {
		t.Fatal(err)
	}
	holds(filepath.Join(s.dir(), "cgroup.freeze"), "1")
	holds(filepath.Join(s.dir(), "cgroup.procs"), pid)
	if err := os.Truncate(filepath.Join(dir, "cgroup.procs"), 0); err != nil {
		t.Fatal(err)
	}
	files(map[string]string{"cgroup.events": "populated 1\nfrozen 0\n"})
	_ = s.end() // the folder is no control group, and cannot be removed with its files
	holds(filepath.Join(s.dir(), "cgroup.freeze"), "0")
	holds(filepath.Join(dir, "cgroup.procs"), pid)
}

// TestUpdateKeepsNoSwap: an update of the bound of processes says all limits again, and what the kernel then holds a sandbox to is
// looked at: on cgroup v2 systemd forgets "no swap" otherwise.
func TestUpdateKeepsNoSwap(t *testing.T) {
	made := container.Resources{Memory: 1 << 30, MemorySwap: 1 << 30, CPUPeriod: 100_000, CPUQuota: 150_000, CPUShares: 512}
	want := made
	want.PidsLimit = new(int64(512))
	if diff := cmp.Diff(want, updated(made, 512)); diff != "" {
		t.Errorf("the update (-want +got):\n%s", diff)
	}
	for swap, good := range map[string]bool{"0\n": true, "max\n": false, "1073741824\n": false} {
		got, err := cgroup.UnifiedLimits(cgrouptest.Tree(t, map[string]string{"memory.swap.max": swap}))
		if err != nil {
			t.Fatal(err)
		}
		if err := keptMemory(got, made.Memory); (err == nil) != good {
			t.Errorf("swap %q: %v", swap, err)
		}
	}
}
