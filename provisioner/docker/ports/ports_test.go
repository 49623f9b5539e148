package ports_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
	"github.com/bothy-env/bothy/provisioner/docker/cgroup"
	"github.com/bothy-env/bothy/provisioner/docker/dockertest"
	"github.com/bothy-env/bothy/provisioner/docker/ports"
	"github.com/bothy-env/bothy/provisioner/docker/sandbox"
)

func TestMain(m *testing.M) { dockertest.Main(m) }

// of returns the room of a Runtime.
func of(e *dockertest.Engine) *ports.Ports { return e.Ports.(*ports.Ports) }

// pidsGroup is where a sandbox's control group for processes is.
func pidsGroup(t *testing.T, e *dockertest.Engine, id string) string {
	t.Helper()
	c, err := e.API.ContainerInspect(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return cgroup.All(id, c.State.Pid)["pids"]
}

// ownNet is the network namespace that every thread of this process belongs in. It is read before any test runs.
var ownNet, errOwnNet = os.Readlink("/proc/thread-self/ns/net")

// foreignThreads lists the threads of this process that are in another network namespace.
func foreignThreads(t testing.TB) (found []string) {
	t.Helper()
	if errOwnNet != nil {
		t.Fatal(errOwnNet)
	}
	all, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil || len(all) == 0 {
		t.Fatal("no threads are found:", err)
	}
	for _, at := range all {
		if ns, err := os.Readlink(at); err == nil && ns != ownNet { // else it has ended
			found = append(found, at+" -> "+ns)
		}
	}
	return found
}

// answers reports whether a connection sends back what it is sent.
func answers(c net.Conn) error {
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	got, err := io.ReadAll(c)
	if err == nil && string(got) != "hello" {
		err = fmt.Errorf("got %q", got)
	}
	return err
}

// TestPortsWithAndWithoutNetwork: both directions work in a sandbox without a network, in one that shares its holder's namespace, and
// in that when its holder has ended.
func TestPortsWithAndWithoutNetwork(t *testing.T) {
	e := dockertest.Ported(t)
	if err := e.Reconcile(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	both := func(t *testing.T, id string, port int) {
		e.Background(id, "serve", strconv.Itoa(port))
		c, err := e.Dial(t.Context(), id, port)
		if err != nil {
			t.Fatal(err)
		}
		if err := answers(c); err != nil {
			t.Error(err)
		}
		l, err := e.Listen(t.Context(), id, port+1)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			for c, err := l.Accept(); err == nil; c, err = l.Accept() {
				_, _ = io.Copy(c, c) // whoever is at the other end sees it
				c.Close()
			}
		}()
		out, said, code := e.Run(id, fmt.Sprintf("echo hello | probe connect %d", port+1))
		if code != 0 || out != "hello\n" {
			t.Errorf("inside: exit code %d, output %q, %q", code, out, said)
		}
	}
	t.Run("none", func(t *testing.T) { both(t, e.Sandbox(), 7000) })
	t.Run("a holder's", func(t *testing.T) {
		name := e.ReserveNetwork()
		id := e.Sandbox(func(_ *container.Config, h *container.HostConfig) { h.NetworkMode = container.NetworkMode(name) })
		both(t, id, 7010)
		if err := e.API.ContainerKill(t.Context(), sandbox.SlotOf(name), "KILL"); err != nil {
			t.Fatal(err)
		}
		both(t, id, 7020)
		if err := e.API.ContainerRemove(t.Context(), id, container.RemoveOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
		if err := e.Release(t.Context(), provisioner.Attachment(name)); err != nil {
			t.Error(err)
		}
	})
}

// TestPortsLeaveNoThread: every thread is back in its own namespace after many calls side by side, and a thread that cannot go back ends.
func TestPortsLeaveNoThread(t *testing.T) {
	e := dockertest.Ported(t)
	id := e.Sandbox()
	e.Background(id, "serve", "7000")
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			c, err := e.Dial(t.Context(), id, 7000)
			if err != nil {
				t.Error(err)
				return
			}
			if err := answers(c); err != nil {
				t.Error(err)
			}
			l, err := e.Listen(t.Context(), id, 7100+i)
			if err != nil {
				t.Error(err)
				return
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if left := foreignThreads(t); len(left) > 0 {
		t.Fatalf("threads are in another namespace:\n%s", strings.Join(left, "\n"))
	}
	restore := ports.FailSetns()
	for range 50 { // one of them would be on the main thread, which never ends
		if _, err := e.Dial(t.Context(), id, 7000); !provisioner.Is(err, provisioner.Transient) {
			t.Errorf("got %v, want class %q", err, provisioner.Transient)
		}
	}
	restore()
	dockertest.Until(t, "the end of a thread that could not go back", func() bool { return len(foreignThreads(t)) == 0 })
	c, err := e.Dial(t.Context(), id, 7000)
	if err != nil {
		t.Fatal(err)
	}
	if err := answers(c); err != nil {
		t.Error(err)
	}
}

// TestPromisePortsAreOfTheSandbox: whatever process the Runtime remembers or is told, it enters the sandbox's namespace or none.
func TestPromisePortsAreOfTheSandbox(t *testing.T) {
	e := dockertest.Ported(t)
	id, other := e.Sandbox(), e.Sandbox()
	e.Background(other, "serve", "7000")
	refused := func(what string) {
		t.Helper()
		c, err := e.Dial(t.Context(), id, 7000)
		if err == nil {
			c.Close()
			t.Fatalf("%s: a port of another was reached", what)
		}
		if got := provisioner.ClassOf(err); got != provisioner.Refused {
			t.Errorf("%s: %v, want class %q", what, err, provisioner.Refused)
		}
	}
	refused("as it is")
	pid, started := of(e).Main(id)
	if pid == 0 || started == 0 {
		t.Fatalf("remembered: process %d, started at %d", pid, started)
	}
	remembered := func(what string) {
		t.Helper()
		if p, s := of(e).Main(id); p != pid || s != started {
			t.Errorf("%s: remembered are %d and %d, want %d and %d", what, p, s, pid, started)
		}
	}
	c, err := e.Dial(t.Context(), other, 7000)
	if err != nil {
		t.Fatal(err)
	}
	if err := answers(c); err != nil {
		t.Error(err)
	}
	otherPid, otherStarted := of(e).Main(other)
	of(e).SetMain(id, otherPid, otherStarted)
	refused("the number has passed to another sandbox's process")
	remembered("the number has passed to another sandbox's process")
	of(e).SetMain(id, pid, started+1)
	refused("the number has passed to a process of the same sandbox")
	remembered("the number has passed to a process of the same sandbox")
	of(e).SetMain(id, os.Getpid(), 0)
	refused("it is this process")
	remembered("it is this process")
}

// TestPortsNeverTheMachines: what shares the machine's network is not reached: a dial there would be one to the machine itself.
func TestPortsNeverTheMachines(t *testing.T) {
	e := dockertest.Ported(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // of a test
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	want := func(id string) {
		t.Helper()
		_, err := e.Dial(t.Context(), id, port)
		dockertest.WantClass(t, err, provisioner.Permanent)
		if said := provisioner.Sentence(err); !strings.Contains(said, "shares the machine's network") {
			t.Errorf("got %q", said)
		}
		_, err = e.Listen(t.Context(), id, 7000)
		dockertest.WantClass(t, err, provisioner.Permanent)
	}
	want(e.Sandbox(func(_ *container.Config, h *container.HostConfig) { h.NetworkMode = "host" }))
	// A helper of the engine is in the sandbox's control groups before it is in its namespaces.
	id := e.Sandbox()
	helper := exec.Command("sleep", "3600")
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = helper.Process.Kill(); _ = helper.Wait() }() // its end is as wanted
	if err := os.WriteFile(filepath.Join(pidsGroup(t, e, id), "cgroup.procs"), []byte(strconv.Itoa(helper.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	of(e).SetMain(id, helper.Process.Pid, 0)
	want(id)
}

// TestDialNotItself: where nothing listens the kernel can connect a socket to itself, which is no answer.
func TestDialNotItself(t *testing.T) {
	e := dockertest.Ported(t)
	id := e.Sandbox(func(_ *container.Config, h *container.HostConfig) {
		h.Sysctls = map[string]string{"net.ipv4.ip_local_port_range": "40000 40000"} // so it has no choice
	})
	c, err := e.Dial(t.Context(), id, 40000)
	if err == nil {
		t.Errorf("connected from %s to %s", c.LocalAddr(), c.RemoteAddr())
		c.Close()
		return
	}
	dockertest.WantClass(t, err, provisioner.Refused)
}

// TestDialToTheDeaf: who listens and accepts nothing holds up neither a thread nor a caller whose context ends, and no caller for long.
func TestDialToTheDeaf(t *testing.T) {
	e := dockertest.Ported(t, func(c *docker.Config) { c.CallTimeout = 10 * time.Second })
	id := e.Sandbox()
	e.Background(id, "deaf", "7000")
	waiting := func(ctx context.Context) error {
		var open []net.Conn
		defer func() {
			for _, c := range open {
				_ = c.Close()
			}
		}()
		for range 16 { // the kernel accepts the first
			c, err := e.Dial(ctx, id, 7000)
			if err != nil {
				return err
			}
			open = append(open, c)
		}
		return errors.New("every connection was accepted")
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- waiting(ctx) }()
	// A thread is in the sandbox's namespace for a moment of each Dial, and must not be while one waits.
	dockertest.Until(t, "a Dial that waits in Go's poller, and holds no thread", func() bool {
		stacks := make([]byte, 1<<20)
		for one := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			if strings.Contains(one, "[IO wait") && strings.Contains(one, "ports.connect(") {
				return len(foreignThreads(t)) == 0
			}
		}
		return false
	})
	stop()
	dockertest.WantClass(t, <-done, provisioner.Cancelled)
	err := waiting(t.Context())
	dockertest.WantClass(t, err, provisioner.Transient)
	if said := provisioner.Sentence(err); !strings.Contains(said, "has not accepted") || provisioner.IsUnavailable(err) {
		t.Errorf("got %q", said)
	}
}

// TestListenerEndsWithTheSandbox: however a sandbox ends, its listener does, and the sandbox is then none that is reached.
func TestListenerEndsWithTheSandbox(t *testing.T) {
	e := dockertest.Ported(t)
	for what, end := range map[string]func(id string) error{
		"removed": func(id string) error {
			return e.API.ContainerRemove(t.Context(), id, container.RemoveOptions{Force: true})
		},
		"killed": func(id string) error { return e.API.ContainerKill(t.Context(), id, "KILL") },
	} {
		id := e.Sandbox()
		l, err := e.Listen(t.Context(), id, 7000)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { _, err := l.Accept(); ended <- err }()
		if err := end(id); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: Accept gave %v", what, err)
			}
		case <-time.After(2 * time.Minute):
			t.Fatalf("%s: Accept still waits", what)
		}
		if err := l.Close(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		_, err = e.Dial(t.Context(), id, 7000)
		dockertest.WantClass(t, err, map[string]provisioner.Class{"removed": provisioner.NotFound, "killed": provisioner.Conflict}[what])
	}
}

// TestPortsOnlyOurs: a container without this installation's labels is not entered.
func TestPortsOnlyOurs(t *testing.T) {
	e := dockertest.Ported(t)
	id := e.Sandbox(func(c *container.Config, _ *container.HostConfig) {
		c.Labels = map[string]string{dockertest.LabelTest: dockertest.TestRun}
	})
	_, err := e.Dial(t.Context(), id, 7000)
	dockertest.WantClass(t, err, provisioner.Conflict)
	_, err = e.Listen(t.Context(), id, 7000)
	dockertest.WantClass(t, err, provisioner.Conflict)
}

// TestPortsNeedTheMachine: where the means are missing, CanDial and every call say so.
func TestPortsNeedTheMachine(t *testing.T) {
	r, err := docker.New(docker.Config{Host: "tcp://127.0.0.1:1", Instance: "t1", Key: dockertest.Key})
	if err != nil {
		t.Fatal(err)
	}
	_, dialled := r.Dial(t.Context(), dockertest.NoSandbox, 80)
	_, listened := r.Listen(t.Context(), dockertest.NoSandbox, 80)
	for _, err := range []error{r.CanDial(), dialled, listened} {
		dockertest.WantClass(t, err, provisioner.Permanent)
		if said := provisioner.Sentence(err); said != "ports of sandboxes cannot be reached: the engine is on another machine" {
			t.Errorf("got %q", said)
		}
	}
}
