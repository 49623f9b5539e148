package docker

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/broker"
)

// unified are the files of a sandbox's control group of version 2 as Documentation/admin-guide/cgroup-v2.rst has them, at the path of systemd's driver.
var unified = map[string]string{
	"cgroup.procs": "", "cgroup.freeze": "0\n", "cgroup.events": "populated 1\nfrozen 0\n",
	"memory.max": "1073741824\n", "memory.swap.max": "0\n", "memory.current": "314572800\n",
	"memory.stat":   "anon 201326592\nfile 104857600\nkernel 8388608\nshmem 10485760\ninactive_file 90000000\n",
	"memory.events": "low 0\nhigh 0\nmax 212\noom 3\noom_kill 2\noom_group_kill 0\n",
	"pids.max":      "512\n", "pids.current": "14\n", "pids.events": "max 0\n",
	"cpu.max": "150000 100000\n", "cpu.weight": "100\n", "cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_periods 0\n",
}

// tree writes such files, some of them otherwise.
func tree(t *testing.T, change map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	files := maps.Clone(unified)
	maps.Copy(files, change)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestUnifiedReadings: what is read of a control group of version 2.
func TestUnifiedReadings(t *testing.T) {
	dir := tree(t, nil)
	limits, err := unifiedLimits(dir)
	if diff := cmp.Diff(broker.Limits{Memory: 1 << 30, Swap: 0, Pids: 512, CPUs: 1.5}, limits); err != nil || diff != "" {
		t.Errorf("limits: %v (-want +got):\n%s", err, diff)
	}
	if n := oomKills(dir); n != 2 {
		t.Errorf("%d processes ended for want of memory, want 2 (not the 3 times that memory was short)", n)
	}
	if n := forksRefused(tree(t, map[string]string{"pids.events": "max 7\n"})); n != 7 {
		t.Errorf("%d processes refused, want 7", n)
	}
	if cpu, ok := cpuTime(dir); !ok || cpu != 2500*time.Millisecond {
		t.Errorf("processor time %s, %v; want 2.5 s", cpu, ok)
	}
	used := groupUsage(t.Context(), map[string]string{"memory": dir, "pids": dir, "cpuacct": dir})
	if diff := cmp.Diff(provisioner.Usage{CPUs: 0, Memory: 210 << 20, Pids: 14, Disk: -1}, used); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
	if used := groupUsage(t.Context(), map[string]string{"memory": t.TempDir(), "pids": t.TempDir(), "cpuacct": t.TempDir()}); used != provisioner.Unknown() {
		t.Errorf("usage of a group that is gone: %+v", used)
	}
}

// TestUnifiedGroup: a container's group of version 2 is found from a process of it, also from one that is held still.
func TestUnifiedGroup(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	for text, want := range map[string]string{
		"0::/bothy_a.slice/docker-" + id + ".scope\n":                 "/sys/fs/cgroup/bothy_a.slice/docker-" + id + ".scope",
		"0::/bothy_a.slice/docker-" + id + ".scope/bothy-still.512\n": "/sys/fs/cgroup/bothy_a.slice/docker-" + id + ".scope",
		"0::/bothy-a/" + id + "\n":                                    "/sys/fs/cgroup/bothy-a/" + id,
		"12:pids:/x\n1:name=systemd:/y\n0::/bothy-a/" + id + "\n":     "/sys/fs/cgroup/bothy-a/" + id,
	} {
		at, err := groupIn("/sys/fs/cgroup", text, "")
		if err != nil || at != want || !isGroupOf(at, id) {
			t.Errorf("%q: %s, %v; want %s", text, at, err, want)
		}
	}
}

// TestUnifiedStandstill: with version 2 a sandbox's processes are moved into a frozen group of their own, and back.
func TestUnifiedStandstill(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	pid := strconv.Itoa(cmd.Process.Pid)
	dir := tree(t, map[string]string{"cgroup.procs": pid + "\n"})
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
		got, err := unifiedLimits(tree(t, map[string]string{"memory.swap.max": swap}))
		if err != nil {
			t.Fatal(err)
		}
		if err := keptMemory(got, made.Memory); (err == nil) != good {
			t.Errorf("swap %q: %v", swap, err)
		}
	}
}
