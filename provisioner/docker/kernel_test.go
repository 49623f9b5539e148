package docker_test

import (
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/provisioner/docker"
	"github.com/bothy-env/bothy/provisioner/docker/cgroup"
)

// TestKernelLimits: what this machine's kernel says of a sandbox is what its create asked for.
func TestKernelLimits(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox(func(_ *container.Config, h *container.HostConfig) {
		h.Memory, h.MemorySwap, h.CPUPeriod, h.CPUQuota = 256<<20, 256<<20, 100_000, 50_000
	})
	c, err := e.api.ContainerInspect(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	got, err := docker.KernelLimits(c.State.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(cgroup.Limits{Memory: 256 << 20, Swap: 0, Pids: 128, CPUs: 0.5}, got); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
}
