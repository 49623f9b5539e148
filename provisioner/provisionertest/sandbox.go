package provisionertest

import (
	"context"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/provisioner"
)

// testSandbox runs everything that happens inside one sandbox, which costs one create.
func testSandbox(t *testing.T, h Harness) {
	e := h.create(t)
	for _, group := range []struct {
		name        string
		obligations []inside
	}{
		{"exec", execObligations},
		{"terminal", terminalObligations},
		{"copy", copyObligations},
		{"logs", logObligations},
		{"stage", stageObligations},
		{"pause", pauseObligations},
		{"traffic", trafficObligations},
		{"ports", portObligations},
		{"ends and starts", restartObligations},
		{"removed by hand", endObligations}, // last: it takes the sandbox away
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, o := range group.obligations {
				t.Run(o.name, func(t *testing.T) { o.test(t, e) })
			}
		})
	}
}

// inside is an obligation tested in a sandbox that is there.
type inside struct {
	name string
	test func(t *testing.T, e *environment)
}

// exec runs a command and returns what it wrote. Errors of bothy's side end the test.
func (e *environment) exec(t *testing.T, req provisioner.ExecRequest, stdin string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	streams := provisioner.Streams{Stdout: &out, Stderr: &errs}
	if stdin != "" {
		streams.Stdin = strings.NewReader(stdin)
	}
	code, err := e.h.Runtime.Exec(within(t), e.handle.Sandbox.ID, req, streams)
	if err != nil {
		t.Fatalf("Exec %q: %v", req.Command, err)
	}
	return code, out.String(), errs.String()
}

func (e *environment) wantExec(t *testing.T, want int, command ...string) {
	t.Helper()
	code, _, stderr := e.exec(t, provisioner.ExecRequest{Command: command}, "")
	if code != want {
		t.Errorf("%q: exit code %d, want %d; it said %q", command, code, want, stderr)
	}
}

func (e *environment) output(t *testing.T, command ...string) string {
	t.Helper()
	code, stdout, stderr := e.exec(t, provisioner.ExecRequest{Command: command}, "")
	if code != 0 {
		t.Errorf("%q: exit code %d; it said %q", command, code, stderr)
	}
	return stdout
}

// remove takes the sandbox away as an administrator would, by hand.
func (e *environment) remove(ctx context.Context, t *testing.T) {
	t.Helper()
	for _, f := range e.resources(t) {
		if f.ID == e.handle.Sandbox.ID {
			if err := e.h.Runtime.Remove(ctx, f.Ref, f.Environment()); err != nil {
				t.Fatalf("Remove: %v", err)
			}
			return
		}
	}
	t.Fatal("the sandbox is not in the inventory")
}

var endObligations = []inside{
	{"a followed log, a running command and a stage end", testEnd},
	{"inspect is not found", func(t *testing.T, e *environment) {
		_, err := e.h.Runtime.Inspect(within(t), e.handle.Sandbox.ID)
		wantClass(t, "Inspect", err, provisioner.NotFound)
	}},
	{"destroy is success", func(t *testing.T, e *environment) {
		e.destroy(t, e.handle.State)
		e.wantNothing(t)
	}},
}

func testEnd(t *testing.T, e *environment) {
	ctx := within(t)
	followed, first := make(chan error, 1), make(chan struct{}, 1)
	if err := e.h.Say(ctx, e.handle.Sandbox.ID, "before the end", false); err != nil {
		t.Fatalf("Say: %v", err)
	}
	go func() {
		followed <- e.h.Runtime.Logs(ctx, e.handle.Sandbox.ID, provisioner.LogsRequest{Follow: true}, func(provisioner.LogLine) error {
			select {
			case first <- struct{}{}:
			default:
			}
			return nil
		})
	}()
	r := e.start(ctx, provisioner.ExecRequest{Command: []string{"sh", "-c", "echo ready; exec sleep 86396"}}, provisioner.Streams{})
	receive(t, "a line of the followed log", first)
	r.wantReady(t)
	var way provisioner.Stage
	if e.h.Capabilities.Stage {
		way = staged{e, e.h.Runtime.(provisioner.Stager)}.open(t)
	}
	portsEnd := e.portsAtEnd(t)
	e.remove(ctx, t)
	portsEnd()
	if way != nil {
		wantClass(t, "Deliver after the sandbox went", way.Deliver(ctx, nil), provisioner.NotFound)
	}
	if err := receive(t, "the end of the followed log", followed); err != nil {
		t.Errorf("Logs, followed to the sandbox's end: %v", err)
	}
	// How a command ends whose sandbox goes is not promised; that it ends is.
	if got := receive(t, "the end of the command", r.done); got.err == nil && got.code == 0 {
		t.Error("the command was told to have ended well, though its sandbox went")
	}
}
