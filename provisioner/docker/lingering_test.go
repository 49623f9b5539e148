package docker_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
)

// leavers is how many clients leave in each of these tests, which run side by side.
const leavers = 8

// inside lists the commands that run in a sandbox, its own two left out.
func (e *engine) inside(id string) []string {
	e.t.Helper()
	top, err := e.api.ContainerTop(context.Background(), id, []string{"-o", "pid,args"})
	if err != nil {
		e.t.Fatal(err)
	}
	var all []string
	for _, p := range top.Processes {
		if !strings.Contains(p[1], "sleep 3600") {
			all = append(all, p[1])
		}
	}
	return all
}

// slow is a runtime behind a proxy, and a sandbox.
func slow(t *testing.T) (p *proxy, e, far *engine, id string) {
	t.Helper()
	p = newProxy(t)
	p.gate = make(chan struct{})
	e = newEngine(t)
	// Long enough for a busy machine to start them all.
	far = newEngine(t, through(p), func(c *docker.Config) { c.Instance, c.CallTimeout = e.instance, 10*time.Second })
	far.SetLingerRetry(50 * time.Millisecond)
	id = e.sandbox()
	if _, err := far.Exec(t.Context(), id, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{}); err != nil {
		t.Fatal(err) // and the users of its image are known
	}
	return p, e, far, id
}

// leave starts commands whose clients leave when left is called, and returns what becomes of them.
func leave(t *testing.T, far *engine, id string, req provisioner.ExecRequest) (left context.CancelFunc, errs func() []error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	var wg sync.WaitGroup
	all := make([]error, leavers)
	for i := range leavers {
		wg.Go(func() { _, all[i] = far.Exec(ctx, id, req, provisioner.Streams{}) })
	}
	return cancel, func() []error { wg.Wait(); return all }
}

// TestPromiseLeftCommandsEnd: however slow the engine is, no command runs on whose client has left.
func TestPromiseLeftCommandsEnd(t *testing.T) {
	command := []string{"sh", "-c", "touch /tmp/begun; echo begun; exec sleep 1000"}

	t.Run("left before the engine took the start", func(t *testing.T) {
		t.Parallel() // they wait for the most part
		p, e, far, id := slow(t)
		p.set(func(p *proxy) { p.slowOn = []byte("/start HTTP") })
		left, errs := leave(t, far, id, provisioner.ExecRequest{Command: command})
		until(t, "all are to be started", func() bool { return p.waiting() == leavers })
		left()
		for _, err := range errs() {
			if err == nil {
				t.Fatal("a command whose client left was told to have ended well")
			}
		}
		close(p.gate) // the engine starts all of them now
		until(t, "the engine has started, and ended, all", func() bool { return e.execs(id) == 0 })
		wantEqual(t, "what runs", e.inside(id), []string(nil))
		if _, _, code := e.run(id, "[ -e /tmp/begun ]"); code == 0 {
			t.Error("a command began whose client had left")
		}
	})
	for _, tty := range []bool{false, true} {
		name := "left before the command was seen to start"
		if tty {
			name += ", on a terminal"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, e, far, id := slow(t)
			p.set(func(p *proxy) { p.mute = true })
			left, errs := leave(t, far, id, provisioner.ExecRequest{Command: command, TTY: tty})
			until(t, "the engine starts them", func() bool { return len(e.inside(id)) >= leavers })
			left()
			for _, err := range errs() {
				wantClass(t, err, provisioner.Cancelled)
			}
			if tty {
				wantEqual(t, "commands to be ended later", far.Lingering(id), leavers)
			}
			close(p.gate)
			until(t, "all have ended", func() bool { return len(e.inside(id)) == 0 })
			until(t, "none lingers", func() bool { return far.Lingering(id) == 0 })
		})
	}
	t.Run("left when they ran, and the engine takes no command to end them", func(t *testing.T) {
		t.Parallel() // they wait for the most part
		p, e, far, id := slow(t)
		left, errs := leave(t, far, id, provisioner.ExecRequest{Command: command})
		until(t, "all run", func() bool { return sleeps(e, id) == leavers+1 })
		p.set(func(p *proxy) { p.slowOn = []byte("/exec HTTP") })
		left()
		for _, err := range errs() {
			wantClass(t, err, provisioner.Cancelled)
			if !strings.Contains(err.Error(), "still runs, bothy retries") {
				t.Errorf("%q does not say that it still runs", err)
			}
		}
		wantEqual(t, "commands to be ended later", far.Lingering(id), leavers)
		wantEqual(t, "they run", sleeps(e, id), leavers+1)
		p.set(func(p *proxy) { p.slowOn = nil })
		close(p.gate)
		until(t, "all have ended", func() bool { return len(e.inside(id)) == 0 })
		until(t, "none lingers", func() bool { return far.Lingering(id) == 0 })
	})
	t.Run("the sandbox goes", func(t *testing.T) {
		t.Parallel() // they wait for the most part
		p, e, far, id := slow(t)
		left, errs := leave(t, far, id, provisioner.ExecRequest{Command: command})
		until(t, "all run", func() bool { return sleeps(e, id) == leavers+1 })
		p.set(func(p *proxy) { p.slowOn = []byte("/exec HTTP") })
		left()
		errs()
		wantEqual(t, "commands to be ended later", far.Lingering(id), leavers)
		if err := e.remove(t.Context(), e.found(id)); err != nil {
			t.Fatal(err)
		}
		p.set(func(p *proxy) { p.slowOn = nil })
		close(p.gate)
		until(t, "none lingers", func() bool { return far.Lingering(id) == 0 })
	})
}

// execs counts the commands in a sandbox that the engine knows of as running.
func (e *engine) execs(id string) int {
	e.t.Helper()
	c, err := e.api.ContainerInspect(context.Background(), id)
	if err != nil {
		e.t.Fatal(err)
	}
	n := 0
	for _, x := range c.ExecIDs {
		if st, err := e.api.ContainerExecInspect(context.Background(), x); err == nil && st.Running { // else it was just forgotten
			n++
		}
	}
	return n
}
