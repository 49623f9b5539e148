package cgroup

import (
	"bufio"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/provisioner/docker/cgroup/cgrouptest"
)

// TestUnifiedReadings: what is read of a control group of version 2.
func TestUnifiedReadings(t *testing.T) {
	dir := cgrouptest.Tree(t, nil)
	limits, err := UnifiedLimits(dir)
	if diff := cmp.Diff(Limits{Memory: 1 << 30, Swap: 0, Pids: 512, CPUs: 1.5}, limits); err != nil || diff != "" {
		t.Errorf("limits: %v (-want +got):\n%s", err, diff)
	}
	if n := OOMKills(dir); n != 2 {
		t.Errorf("%d processes ended for lack of memory, want 2 (not the 3 times that memory was short)", n)
	}
	if n := ForksRefused(cgrouptest.Tree(t, map[string]string{"pids.events": "max 7\n"})); n != 7 {
		t.Errorf("%d processes refused, want 7", n)
	}
	if cpu, ok := CPUTime(dir); !ok || cpu != 2500*time.Millisecond {
		t.Errorf("processor time %s, %v; want 2.5 s", cpu, ok)
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
		at, err := in("/sys/fs/cgroup", text, "")
		if err != nil || at != want || !Is(at, id) {
			t.Errorf("%q: %s, %v; want %s", text, at, err, want)
		}
	}
}

// TestCgroupMounts: one, the other and both kinds of control groups on a host.
func TestCgroupMounts(t *testing.T) {
	const (
		one = `31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
32 23 0:28 / /sys/fs/cgroup/memory rw,nosuid shared:10 - cgroup cgroup rw,memory
`
		two   = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
		other = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw\nnothing\n"
	)
	for name, c := range map[string]struct {
		text string
		want map[string]string
	}{
		"v1":   {other + one, map[string]string{"cpu": "/sys/fs/cgroup/cpu,cpuacct", "cpuacct": "/sys/fs/cgroup/cpu,cpuacct", "memory": "/sys/fs/cgroup/memory"}},
		"v2":   {two + other, map[string]string{"": "/sys/fs/cgroup"}},
		"none": {other, map[string]string{}},
	} {
		got, err := readMounts(bufio.NewScanner(strings.NewReader(c.text)))
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}
