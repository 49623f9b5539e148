// Package provisionertest is the conformance suite of package provisioner:
// every obligation of Driver, Runtime and its capabilities as a named subtest. An
// implementation passes it by calling Run with a Harness:
//
//	func TestConformance(t *testing.T) {
//		provisionertest.Run(t, func(t *testing.T) provisionertest.Harness { ... })
//	}
//
// The sandboxes that a harness makes hold a shell and the usual small tools
// (cat, echo, env, id, ln, mkdir, printenv, pwd, rm, sleep, stat, stty, test), a
// user and root, /etc/shadow, a folder that the user may write to, and SecretsDir.
package provisionertest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

// Harness is an implementation under test.
type Harness struct {
	Driver  provisioner.Driver
	Runtime provisioner.Runtime
	// Key makes the labels, Instance is in all of them. The instance is this
	// test's own: the suite removes what carries its label.
	Key      provisioner.Key
	Instance string
	// NewSpec returns a spec that can be created: an environment id never used
	// before, generation 1, labels from Key, an image and a network that exist.
	// What it reserves it gives back in t.Cleanup, which runs after the environment is gone.
	NewSpec func(t *testing.T) provisioner.Spec
	// Image is a reference that resolves to the image of NewSpec.
	Image string
	// BadBlueprint returns a blueprint that Prepare must refuse.
	BadBlueprint func(t *testing.T) provisioner.Blueprint
	// Forget makes the driver lose its working files on an environment.
	Forget func(t *testing.T, environment string)
	// Unavailable returns a driver and a runtime whose engine is away.
	Unavailable func(t *testing.T) (provisioner.Driver, provisioner.Runtime)
	// Restart returns a runtime on the same instance that remembers nothing, as a
	// daemon has that was just started. Needed where Networks are declared; the suite closes it.
	Restart func(t *testing.T) provisioner.Runtime

	// User is the image's own user and Workspace its working directory; dev and /workspace when empty.
	User, Workspace string
	// Processes returns a text in which the command line of everything that runs in
	// a sandbox appears, that of a stage with the word "bothy-stage"; nil reads /proc by Exec.
	Processes func(ctx context.Context, id string) (string, error)
	// Say makes a sandbox's main process print a line; nil writes to the first process's output by Exec.
	Say func(ctx context.Context, id, line string, stderr bool) error

	// Echo is a command that listens at a port of 127.0.0.1 inside, prints the line "ready", and sends back to each connection what it
	// sends. Connect is one that sends its input to such a port, ends its direction, and prints what comes back; its exit code is not 0
	// when it cannot connect. nil runs python3. Needed where Ports are declared and the image has no python3.
	Echo, Connect func(port int) []string

	// Capabilities is what the runtime is to declare. What is declared absent is tested to be absent.
	Capabilities provisioner.Capabilities
	// NoKill and NoPorts say that this process lacks the means for what is declared; see Killer.CanKill and Ports.CanDial.
	NoKill, NoPorts bool
}

// kills and dials report whether the means are there, too.
func (h Harness) kills() bool { return h.Capabilities.Kill && !h.NoKill }
func (h Harness) dials() bool { return h.Capabilities.Ports && !h.NoPorts }

// obligation is one named subtest.
type obligation struct {
	name string
	test func(t *testing.T, h Harness)
}

// Run tests every obligation. It calls newHarness once for each group of them
// and runs them one after another, as an engine under load is no place for deadlines.
func Run(t *testing.T, newHarness func(t *testing.T) Harness) {
	t.Helper()
	groups := []struct {
		name        string
		obligations []obligation
	}{
		{"driver", driverObligations},
		{"inventory", inventoryObligations},
		{"failures", failureObligations},
		{"sandbox", []obligation{{"one environment", testSandbox}}},
		{"networks", networkObligations},
		{"marks", markObligations},
		{"away", awayObligations},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			h := complete(t, newHarness(t))
			for _, o := range g.obligations {
				t.Run(o.name, func(t *testing.T) { o.test(t, h) })
			}
		})
	}
}

// complete checks a harness and fills in what may be left out.
func complete(t *testing.T, h Harness) Harness {
	t.Helper()
	if h.Driver == nil || h.Runtime == nil || h.NewSpec == nil || len(h.Key) == 0 || h.Instance == "" || h.Image == "" ||
		h.BadBlueprint == nil || h.Forget == nil || h.Unavailable == nil {
		t.Fatal("the harness is incomplete: only User, Workspace, Processes, Say, Echo, Connect and Capabilities may be left out")
	}
	if h.Capabilities.Networks && h.Restart == nil {
		t.Fatal("the harness is incomplete: it declares networks and has no Restart")
	}
	if h.User == "" {
		h.User = "dev"
	}
	if h.Workspace == "" {
		h.Workspace = "/workspace"
	}
	if h.Echo == nil {
		h.Echo = python(pythonEcho)
	}
	if h.Connect == nil {
		h.Connect = python(pythonConnect)
	}
	if h.Processes == nil {
		h.Processes = h.processesByExec
	}
	if h.Say == nil {
		h.Say = h.sayByExec
	}
	return h
}

func (h Harness) processesByExec(ctx context.Context, id string) (string, error) {
	var out strings.Builder
	script := `for f in /proc/[0-9]*/cmdline; do tr '\0' ' ' <"$f"; echo; done 2>/dev/null`
	_, err := h.Runtime.Exec(ctx, id, provisioner.ExecRequest{Command: []string{"sh", "-c", script}}, provisioner.Streams{Stdout: &out})
	return out.String(), err
}

func (h Harness) sayByExec(ctx context.Context, id, line string, stderr bool) error {
	script := `printf '%s\n' "$LINE" >/proc/1/fd/1`
	if stderr {
		script = `printf '%s\n' "$LINE" >/proc/1/fd/2`
	}
	// The first process is root's or the image user's, as the blueprint has it; only its own user may write there.
	var last error
	for _, user := range []string{"root", ""} {
		var out strings.Builder
		req := provisioner.ExecRequest{Command: []string{"sh", "-c", script}, Env: []string{"LINE=" + line}, User: user}
		code, err := h.Runtime.Exec(ctx, id, req, provisioner.Streams{Stderr: &out})
		if err == nil && code == 0 {
			return nil
		}
		last = err
		if err == nil {
			last = provisioner.Errorf(provisioner.Permanent, "write to the sandbox's log", "exit code %d: %s", code, out.String())
		}
	}
	return last
}

// patience bounds everything that has to happen in the end.
const patience = time.Minute

// within returns a context that ends with the test or after patience.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	t.Cleanup(stop)
	return ctx
}

// eventually polls until cond is true; the deadline is patience.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", patience, what)
		}
		time.Sleep(20 * time.Millisecond) // between two looks, bounded by the deadline
	}
}

// receive waits for a value for as long as patience goes, so that what never comes fails by name.
func receive[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("after %v there is still not: %s", patience, what)
		panic("unreachable")
	}
}

// send offers a value for as long as patience goes.
func send[T any](t *testing.T, what string, to chan<- T, v T) {
	t.Helper()
	select {
	case to <- v:
	case <-time.After(patience):
		t.Fatalf("after %v nobody has taken: %s", patience, what)
	}
}

// wantClass checks an error's class.
func wantClass(t *testing.T, what string, err error, classes ...provisioner.Class) {
	t.Helper()
	got := provisioner.ClassOf(err)
	for _, c := range classes {
		if got == c {
			return
		}
	}
	t.Errorf("%s: class %q, want %q (error: %v)", what, got, classes, err)
}
