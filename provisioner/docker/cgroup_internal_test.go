package docker

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/system"
	"github.com/google/go-cmp/cmp"
)

// TestParentName: each driver of control groups has its own form; a dash in a slice's name would be a slice in a slice.
func TestParentName(t *testing.T) {
	for driver, want := range map[string]string{"cgroupfs": "/bothy-a1-b2", "systemd": "bothy_a1_b2.slice", "": "/bothy-a1-b2"} {
		if got := parentName("a1-b2", system.Info{CgroupDriver: driver}); got != want {
			t.Errorf("driver %q: got %s, want %s", driver, got, want)
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
		got, err := cgroupMounts(bufio.NewScanner(strings.NewReader(c.text)))
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// TestContainerOf: a process's container by both forms of its control group.
func TestContainerOf(t *testing.T) {
	id := strings.Repeat("ab", 32)
	for text, want := range map[string]string{
		"9:name=systemd:/bothy-x/" + id + "\n8:pids:/\n": id,
		"0::/bothy_x.slice/docker-" + id + ".scope\n":    id,
		"0::/user.slice/user-0.slice/session-1.scope\n":  "session-1",
		"9:name=systemd:/\n":                             "",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "cgroup"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := containerOf(dir); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	// What is in no container is nobody's to end.
	if who, n := hog(map[string]int{"session-1": 9, "": 8, id: 2}); who != id || n != 2 {
		t.Errorf("got %q with %d, want the container", who, n)
	}
}
