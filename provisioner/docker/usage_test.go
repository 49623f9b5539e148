package docker_test

import (
	"context"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/dockertest"
)

// TestUsageOfASandbox: what a sandbox uses of its processors, memory, processes and disk, by its control groups and by the engine.
// Files that were read and written are no memory.
func TestUsageOfASandbox(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox(func(_ *container.Config, h *container.HostConfig) { h.CPUPeriod, h.CPUQuota = 100_000, 50_000 })
	if _, errs, code := e.run(id, "head -c 64m /dev/zero >/tmp/big; head -c 8m /dev/zero >/workspace/more"); code != 0 {
		t.Fatal(errs)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out dockertest.Output
	go func() { // 16 MiB of memory, a busy process, and one that waits
		_, _ = e.Exec(ctx, id, provisioner.ExecRequest{Command: []string{"sh", "-c",
			`s=0123456789abcdef; n=0; while [ $n -lt 20 ]; do s=$s$s; n=$((n+1)); done; sleep 1000 & echo on; while :; do :; done`}},
			provisioner.Streams{Stdout: &out}) // ends with the test
	}()
	until(t, "a busy process", func() bool { return out.Has("on") })
	for what, read := range map[string]func(context.Context, string) (provisioner.Usage, error){"by its control groups": e.Usage, "by the engine": e.CountedUsage} {
		uctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		used, err := read(uctx, id)
		stop()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if used.CPUs < 0.05 || used.CPUs > 1.5 {
			t.Errorf("%s: %.2f CPUs in use, want about 0.5", what, used.CPUs)
		}
		if mib := used.Memory >> 20; mib < 16 || mib > 60 {
			t.Errorf("%s: %d MiB of memory in use, want 16 and a little more, without 72 MiB of files", what, mib)
		}
		if used.Pids < 4 || used.Pids > 40 {
			t.Errorf("%s: %d processes, want four and a few threads", what, used.Pids)
		}
		if mib := used.Disk >> 20; what == "by its control groups" && mib != 72 {
			t.Errorf("%s: %d MiB written, want 72", what, mib)
		}
	}
}
