package provisionertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/bothy-env/bothy/provisioner"
)

var portObligations = []inside{
	{"declared or absent", testPortsDeclared},
	{"what listens inside is reached", porting(testDial)},
	{"a port where nothing listens", porting(testDialRefused)},
	{"numbers that are no ports", porting(testNoPort)},
	{"no sandbox of that id", porting(testPortsNoSandbox)},
	{"a context that has ended", porting(testPortsCancelled)},
	{"a listener is reached from inside", porting(testListen)},
	{"a port that is taken", porting(testPortTaken)},
	{"many at once", porting(testPortsMany)},
	{"pause and unpause do no harm", porting(testPortsPaused)},
	{"a restart ends listeners", porting(testPortsRestart)},
}

// ported is an environment whose runtime has Ports.
type ported struct {
	*environment
	provisioner.Ports
}

func testPortsDeclared(t *testing.T, e *environment) {
	ports, is := provisioner.Can[provisioner.Ports](e.h.Runtime)
	if can := is && ports.CanDial() == nil; can != e.h.dials() {
		t.Errorf("the runtime has Ports and the means: %v; declared: %v", can, e.h.dials())
	}
	if is && !e.h.dials() {
		wantClass(t, "CanDial without the means", ports.CanDial(), provisioner.Permanent)
		_, err := ports.Dial(within(t), e.handle.Sandbox.ID, 80)
		wantClass(t, "Dial without the means", err, provisioner.Permanent)
		_, err = ports.Listen(within(t), e.handle.Sandbox.ID, 80)
		wantClass(t, "Listen without the means", err, provisioner.Permanent)
	}
}

// porting runs a test, and looks that it has left no goroutine.
func porting(test func(t *testing.T, p ported)) func(t *testing.T, e *environment) {
	return func(t *testing.T, e *environment) {
		if !e.h.dials() {
			t.Log("ports are declared absent; the first subtest has tested that they are")
			return
		}
		before := portGoroutines()
		// In a subtest, so that its clean-up is done.
		t.Run("test", func(t *testing.T) { test(t, ported{e, e.h.Runtime.(provisioner.Ports)}) })
		eventually(t, fmt.Sprintf("no more goroutines of ports than the %d before", before), func() bool { return portGoroutines() <= before })
	}
}

// portGoroutines counts the goroutines that listeners or connections have: others come and go with the engine's client.
func portGoroutines() (n int) {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for one := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(one, "/ports.go:") || strings.Contains(one, "/ports/enter.go:") {
			n++
		}
	}
	return n
}

// echo runs a command inside that listens at a port and sends back what it is sent, until the test's end.
func (p ported) echo(t *testing.T, port int) *running {
	t.Helper()
	ctx, stop := context.WithCancel(within(t))
	r := p.start(ctx, provisioner.ExecRequest{Command: p.h.Echo(port)}, provisioner.Streams{})
	t.Cleanup(func() {
		stop()
		receive(t, "the end of what listens inside", r.done)
	})
	r.wantReady(t)
	return r
}

// connect runs a command inside that sends input to a port and gives what came back.
func (p ported) connect(t *testing.T, port int, input string) (code int, output string) {
	t.Helper()
	code, output, said := p.exec(t, provisioner.ExecRequest{Command: p.h.Connect(port)}, input)
	t.Logf("the command inside ended with %d: %q", code, said)
	return code, output
}

func (p ported) dial(t *testing.T, port int) net.Conn {
	t.Helper()
	c, err := p.Dial(within(t), p.handle.Sandbox.ID, port)
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (p ported) listen(t *testing.T, port int) net.Listener {
	t.Helper()
	l, err := p.Listen(within(t), p.handle.Sandbox.ID, port)
	if err != nil {
		t.Fatalf("Listen: %v", err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}

func testDial(t *testing.T, p ported) {
	p.echo(t, 8080)
	c := p.dial(t, 8080)
	if got := c.RemoteAddr().String(); got != "127.0.0.1:8080" {
		t.Errorf("connected to %s", got)
	}
	wantExchange(t, c, pattern(1<<20, "x"))
	ctx, stop := context.WithCancel(within(t))
	c, err := p.Dial(ctx, p.handle.Sandbox.ID, 8080)
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	defer c.Close()
	stop() // it bounds the connecting alone
	wantExchange(t, c, pattern(100, "y"))
}

func testDialRefused(t *testing.T, p ported) {
	_, err := p.Dial(within(t), p.handle.Sandbox.ID, 8081)
	wantClass(t, "Dial where nothing listens", err, provisioner.Refused)
}

func testNoPort(t *testing.T, p ported) {
	for _, port := range []int{-1, 0, 65536, 1 << 32} {
		_, err := p.Dial(within(t), p.handle.Sandbox.ID, port)
		wantClass(t, fmt.Sprintf("Dial of port %d", port), err, provisioner.Permanent)
		_, err = p.Listen(within(t), p.handle.Sandbox.ID, port)
		wantClass(t, fmt.Sprintf("Listen at port %d", port), err, provisioner.Permanent)
	}
	for _, port := range []int{1, 65535} {
		l := p.listen(t, port)
		if got := l.Addr().String(); got != fmt.Sprint("127.0.0.1:", port) {
			t.Errorf("listening at %s", got)
		}
	}
}

func testPortsNoSandbox(t *testing.T, p ported) {
	for _, id := range []string{gone, p.handle.Sandbox.ID[:12], ""} {
		_, err := p.Dial(within(t), id, 80)
		wantClass(t, fmt.Sprintf("Dial of sandbox %q", id), err, provisioner.NotFound)
		_, err = p.Listen(within(t), id, 80)
		wantClass(t, fmt.Sprintf("Listen in sandbox %q", id), err, provisioner.NotFound)
	}
}

func testPortsCancelled(t *testing.T, p ported) {
	p.listen(t, 8082)
	ctx, stop := context.WithCancel(within(t))
	stop()
	_, err := p.Dial(ctx, p.handle.Sandbox.ID, 8082)
	wantClass(t, "Dial with a context that has ended", err, provisioner.Cancelled)
	_, err = p.Listen(ctx, p.handle.Sandbox.ID, 8083)
	wantClass(t, "Listen with a context that has ended", err, provisioner.Cancelled)
}

func testListen(t *testing.T, p ported) {
	ctx, stop := context.WithCancel(within(t))
	l, err := p.Listen(ctx, p.handle.Sandbox.ID, 80)
	if err != nil {
		t.Fatalf("Listen: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	stop() // it bounds the opening alone
	served := serve(l)
	input := string(pattern(200_000, "z"))
	if code, output := p.connect(t, 80, input); code != 0 || output != input {
		t.Errorf("exit code %d, sent %d bytes, got %d back, the same: %v", code, len(input), len(output), output == input)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	wantEnded(t, served)
	if code, _ := p.connect(t, 80, input); code == 0 {
		t.Error("a command inside connected after Close")
	}
	_, err = p.Dial(within(t), p.handle.Sandbox.ID, 80)
	wantClass(t, "Dial after Close", err, provisioner.Refused)
	p.listen(t, 80) // free at once
}

func testPortTaken(t *testing.T, p ported) {
	p.echo(t, 8084)
	p.listen(t, 8085)
	for _, port := range []int{8084, 8085} {
		_, err := p.Listen(within(t), p.handle.Sandbox.ID, port)
		wantClass(t, "Listen at a port that is taken", err, provisioner.Conflict)
		if !errors.Is(err, provisioner.ErrPortTaken) {
			t.Errorf("Listen at a port that is taken: %v, want ErrPortTaken", err)
		}
	}
	wantExchange(t, p.dial(t, 8084), pattern(100, "t")) // it was not disturbed
}

func testPortsMany(t *testing.T, p ported) {
	const many = 50
	p.echo(t, 8086)
	var group sync.WaitGroup
	for i := range many {
		group.Go(func() {
			c, err := p.Dial(within(t), p.handle.Sandbox.ID, 8086)
			if err != nil {
				t.Errorf("Dial: %v", err)
				return
			}
			defer c.Close()
			wantExchange(t, c, pattern(10_000, fmt.Sprint("number ", i)))
		})
		group.Go(func() {
			l, err := p.Listen(within(t), p.handle.Sandbox.ID, 9000+i)
			if err != nil {
				t.Errorf("Listen: %v", err)
				return
			}
			served := serve(l)
			c, err := p.Dial(within(t), p.handle.Sandbox.ID, 9000+i)
			if err != nil {
				t.Errorf("Dial: %v", err)
			} else {
				wantExchange(t, c, pattern(10_000, fmt.Sprint("listener ", i)))
				c.Close()
			}
			if err := l.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			wantEnded(t, served)
		})
	}
	group.Wait()
}

// testPortsPaused: a sandbox that is paused is none that has stopped.
func testPortsPaused(t *testing.T, p ported) {
	if !p.h.Capabilities.Pause {
		t.Log("pausing is declared absent")
		return
	}
	pauser := p.h.Runtime.(provisioner.Pauser)
	p.echo(t, 8087)
	p.pause(t, pauser)
	l := p.listen(t, 8088)
	served := serve(l)
	wantExchange(t, p.dial(t, 8088), pattern(100, "p")) // of the daemon at both ends
	c := p.dial(t, 8087)
	if err := pauser.Unpause(within(t), p.handle.Sandbox.ID); err != nil {
		t.Fatalf("Unpause: %v", err)
	}
	wantExchange(t, c, pattern(100, "u"))
	if err := l.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wantEnded(t, served)
}

func testPortsRestart(t *testing.T, p ported) {
	if !p.h.Capabilities.Restart {
		t.Log("restarting is declared absent")
		return
	}
	l := p.listen(t, 8089)
	served := serve(l)
	wantExchange(t, p.dial(t, 8089), pattern(100, "r"))
	if err := p.h.Runtime.(provisioner.Restarter).Restart(within(t), p.handle.Sandbox.ID); err != nil {
		t.Fatalf("Restart: %v", err)
	}
	wantEnded(t, served)
	again := p.listen(t, 8089)
	served = serve(again)
	if code, output := p.connect(t, 8089, "hello"); code != 0 || output != "hello" {
		t.Errorf("after a restart: exit code %d, output %q", code, output)
	}
	if err := again.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wantEnded(t, served)
}

// portsAtEnd opens a listener and a connection, and returns what is to hold once the sandbox is removed.
func (e *environment) portsAtEnd(t *testing.T) (afterwards func()) {
	t.Helper()
	if !e.h.dials() {
		return func() {}
	}
	p := ported{e, e.h.Runtime.(provisioner.Ports)}
	l := p.listen(t, 8090)
	served := serve(l)
	r := p.start(within(t), provisioner.ExecRequest{Command: p.h.Echo(8091)}, provisioner.Streams{})
	r.wantReady(t)
	c := p.dial(t, 8091)
	return func() {
		wantEnded(t, served)
		receive(t, "the end of what listened inside", r.done)
		read := make(chan error, 1)
		go func() { _, err := io.ReadAll(c); read <- err }()
		if err := receive(t, "the end of the connection", read); err != nil {
			t.Logf("a connection into a sandbox that went: %v", err)
		}
		_, err := p.Dial(within(t), p.handle.Sandbox.ID, 8091)
		wantClass(t, "Dial after the sandbox went", err, provisioner.NotFound)
		_, err = p.Listen(within(t), p.handle.Sandbox.ID, 8090)
		wantClass(t, "Listen after the sandbox went", err, provisioner.NotFound)
	}
}
