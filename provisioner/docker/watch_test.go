package docker_test

import (
	"context"
	"testing"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
)

// joined starts a sandbox in a reserved network's namespace, and gives its id and its holder's name.
func (e *engine) joined() (id, holder string) {
	e.t.Helper()
	reserved := e.ReserveNetwork()
	id = e.sandbox(func(_ *container.Config, h *container.HostConfig) { h.NetworkMode = container.NetworkMode(reserved) })
	return id, reserved[len(docker.JoinPrefix):]
}

func (e *engine) off(id string) bool {
	e.t.Helper()
	off, err := e.OffNetwork(context.Background(), id)
	if err != nil {
		e.t.Fatal(err)
	}
	return off
}

// stop stops a container as an administrator does.
func (e *engine) stop(id string) {
	e.t.Helper()
	at := 0
	if err := e.api.ContainerStop(context.Background(), id, container.StopOptions{Timeout: &at}); err != nil {
		e.t.Fatal(err)
	}
}

// interfaces lists the network interfaces inside.
func (e *engine) interfaces(id string) string {
	e.t.Helper()
	out, _, _ := e.run(id, "ls /sys/class/net")
	return out
}

// TestHolderStopped: a sandbox whose network's holder was stopped, or stopped and started, has lost its network, and a
// restart brings it back, also to one that was stopped itself.
func TestHolderStopped(t *testing.T) {
	e := newEngine(t)
	id, holder := e.joined()
	want := e.interfaces(id)
	for what, befall := range map[string]func(){
		"holder stopped": func() { e.stop(holder) },
		"holder restarted": func() {
			at := 0
			e.must(e.api.ContainerRestart(context.Background(), holder, container.StopOptions{Timeout: &at}))
		},
	} {
		if e.off(id) {
			t.Fatalf("%s: off its network before", what)
		}
		befall()
		if !e.off(id) {
			t.Errorf("%s: not seen", what)
		}
		e.must(e.Restart(context.Background(), id))
		if e.off(id) || e.interfaces(id) != want {
			t.Errorf("%s: off its network %v, with the interfaces %q, want %q", what, e.off(id), e.interfaces(id), want)
		}
	}
	e.stop(id)
	e.stop(holder)
	if e.off(id) {
		t.Error("a sandbox that ended is off its network")
	}
	e.must(e.Restart(context.Background(), id))
	if got := e.interfaces(id); got != want {
		t.Errorf("both stopped: the interfaces are %q, want %q", got, want)
	}
}

func (e *engine) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

// TestOutOfMemory: a sandbox whose main process was killed for memory says so.
func TestOutOfMemory(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox(func(c *container.Config, h *container.HostConfig) {
		h.Memory, h.MemorySwap, h.Init = 16<<20, 16<<20, nil
		c.Cmd = []string{"sh", "-c", "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"}
	})
	var status provisioner.Status
	until(t, "it was killed", func() (ended bool) {
		var err error
		status, err = e.Inspect(context.Background(), id)
		e.must(err)
		return status.Ended()
	})
	if !status.OutOfMemory || status.ExitCode != 137 || status.EndedAt.IsZero() {
		t.Errorf("%+v", status)
	}
}

// TestRestartLeavesForeign: what is not this installation's is not restarted.
func TestRestartLeavesForeign(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox(func(c *container.Config, _ *container.HostConfig) { c.Labels[provisioner.LabelEnvironment] = "another" })
	wantClass(t, e.Restart(context.Background(), id), provisioner.Conflict)
}
