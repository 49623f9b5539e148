package usage

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/cgroup/cgrouptest"
)

// TestUnifiedUsage: what is read of a control group of version 2.
func TestUnifiedUsage(t *testing.T) {
	dir := cgrouptest.Tree(t, nil)
	used := groupUsage(t.Context(), map[string]string{"memory": dir, "pids": dir, "cpuacct": dir})
	if diff := cmp.Diff(provisioner.Usage{CPUs: 0, Memory: 210 << 20, Pids: 14, Disk: -1}, used); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
	if used := groupUsage(t.Context(), map[string]string{"memory": t.TempDir(), "pids": t.TempDir(), "cpuacct": t.TempDir()}); used != provisioner.Unknown() {
		t.Errorf("usage of a group that is gone: %+v", used)
	}
}
