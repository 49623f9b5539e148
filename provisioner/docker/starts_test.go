package docker_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
	"github.com/bothy-env/bothy/provisioner/docker/dockertest"
)

// TestPromiseStartsAreBounded: a sandbox for which the engine starts no command is not given commands without end, whether
// their callers wait or have left, and does not keep those of others.
func TestPromiseStartsAreBounded(t *testing.T) {
	p := newProxy(t)
	p.gate = make(chan struct{})
	e := newEngine(t)
	far := newEngine(t, through(p), func(c *docker.Config) { c.Instance, c.CallTimeout = e.instance, time.Minute })
	// What the engine's helper needs for each start, some 12 MiB, counts as the sandbox's.
	id, other := e.sandbox(func(_ *container.Config, h *container.HostConfig) { h.Memory, h.MemorySwap = 1<<30, 1<<30 }), e.sandbox()
	for _, each := range []string{id, other} {
		if _, err := far.Exec(t.Context(), each, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{}); err != nil {
			t.Fatal(err) // and the users of its image are known
		}
	}
	p.set(func(p *proxy) { p.mute = true })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for range docker.MostStarts {
		wg.Go(func() {
			_, err := far.Exec(ctx, id, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{})
			if err == nil {
				t.Error("a command ended before it was seen to start")
			}
		})
	}
	until(t, "all are starting", func() bool { return far.Starting(id) == docker.MostStarts && e.execs(id) == docker.MostStarts })
	short, stop := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer stop()
	_, err := far.Exec(short, id, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{})
	wantClass(t, err, provisioner.Cancelled)
	wantEqual(t, "commands in the engine", e.execs(id), docker.MostStarts)
	p.set(func(p *proxy) { p.mute = false })
	if _, err := far.Exec(t.Context(), other, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{}); err != nil {
		t.Error("another sandbox:", err)
	}
	cancel() // they wait for the word, and end when it does not come
	wg.Wait()
	close(p.gate)
	if _, err := far.Exec(t.Context(), id, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{}); err != nil {
		t.Error("after they have ended:", err)
	}
}

// TestPromisePipesAreWoken: what reads a pipe that a sandbox has in place of its account files does not wait for ever. The
// engine does with a thread for each command, and has 10,000 in all. Another reader stands in for it here.
func TestPromisePipesAreWoken(t *testing.T) {
	e := newEngine(t, func(c *docker.Config) { c.CallTimeout = 2 * time.Second })
	if err := e.CanKill(); err != nil {
		t.Skip("there is no means to do it from the host:", err)
	}
	id := e.sandbox()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var said dockertest.Output
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = e.Exec(ctx, id, provisioner.ExecRequest{Command: []string{"sh", "-c", "rm /etc/passwd; probe pipe /etc/passwd; echo waits; read x </etc/passwd; echo woken; sleep 1000"}, User: "root"},
			provisioner.Streams{Stdout: &said}) // ends with the sandbox
	}()
	until(t, "the pipe", func() bool { return said.Has("waits") })
	_, err := e.Exec(t.Context(), id, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{})
	t.Logf("a command: %v", err)
	until(t, "the reader is woken", func() bool { return said.Has("woken") })
	if err := e.remove(t.Context(), e.found(id)); err != nil {
		t.Error(err)
	}
	cancel()
	<-done
}
