package docker_test

import (
	"context"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
)

// TestGauge: the kernel's counters of a sandbox tell of work in it, and of processes that it ended for lack of memory.
func TestGauge(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox(func(_ *container.Config, h *container.HostConfig) { h.Memory, h.MemorySwap = 64<<20, 64<<20 })
	idle, err := e.CPUTime(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	kills, err := e.OOMKills(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if kills < 0 {
		t.Skip("this host's control groups are not the engine's")
	}
	wantEqual(t, "processes ended for lack of memory at first", kills, int64(0))
	_, _, code := e.run(id, `s=0123456789abcdef; while :; do s=$s$s; done`)
	wantEqual(t, "exit code of what takes all memory", code, 137)
	if kills, err = e.OOMKills(t.Context(), id); err != nil || kills < 1 {
		t.Errorf("%d processes ended for lack of memory, %v; want at least one", kills, err)
	}
	if busy, err := e.CPUTime(t.Context(), id); err != nil || busy <= idle {
		t.Errorf("processor time went from %s to %s, %v", idle, busy, err)
	}
	if counted, err := e.CountedCPU(t.Context(), id); err != nil || counted <= idle {
		t.Errorf("the engine counts %s of processor time, %v; it was %s before", counted, err, idle)
	}
}

// TestOOMIsTold: that a background process ran out of memory, the sandbox's own and its command's going on, is told at once.
func TestOOMIsTold(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox(func(_ *container.Config, h *container.HostConfig) { h.Memory, h.MemorySwap = 64<<20, 64<<20 })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun, told, ended := make(chan struct{}), make(chan provisioner.Found, 16), make(chan error, 1)
	go func() {
		ended <- e.Watch(ctx, e.instance, func() { close(begun) }, func(f provisioner.Found) {
			if f.ID == id && f.OutOfMemory {
				told <- f
			}
		})
	}()
	<-begun
	if _, errs, code := e.run(id, `sh -c 's=0123456789abcdef; while :; do s=$s$s; done' & wait; true`); code != 0 {
		t.Fatal(errs)
	}
	select {
	case f := <-told:
		if f.State != provisioner.StateRunning {
			t.Errorf("it is told to be %q", f.State)
		}
	case err := <-ended:
		t.Fatal(err)
	case <-time.After(time.Minute):
		t.Error("nothing was told")
	}
	if kills, err := e.OOMKills(t.Context(), id); err != nil || kills < 1 {
		t.Errorf("%d processes counted, %v", kills, err)
	}
}

// TestForksRefused: that a sandbox was refused a process is counted.
func TestForksRefused(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox(func(_ *container.Config, h *container.HostConfig) { h.PidsLimit = new(int64(64)) })
	before, err := e.ForksRefused(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if before < 0 {
		t.Skip("this host's control groups are not the engine's")
	}
	e.run(id, `n=0; while [ $n -lt 100 ]; do sleep 5 & n=$((n+1)); done 2>/dev/null`)
	if after, err := e.ForksRefused(t.Context(), id); err != nil || after <= before {
		t.Errorf("%d refusals after %d, %v", after, before, err)
	}
}
