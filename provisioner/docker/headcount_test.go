package docker_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/dockertest"
)

// crowd fills a sandbox with sleeping processes up to its bound, as a command that goes on, and gives how that is ended.
func (e *engine) crowd(id string) (signals chan<- string, end context.CancelFunc, ended <-chan error) {
	e.t.Helper()
	ctx, cancel := context.WithCancel(e.t.Context())
	e.t.Cleanup(cancel)
	done, sigs := make(chan error, 1), make(chan string, 1)
	var out dockertest.Output
	go func() {
		// The shell within ends when it cannot fork.
		_, err := e.Exec(ctx, id, provisioner.ExecRequest{Command: []string{"sh", "-c",
			`trap "exit 7" INT; sleep 1000 & (while :; do sleep 1000 & done) 2>/dev/null; echo full; wait`}},
			provisioner.Streams{Stdout: &out, Signals: sigs})
		done <- err
	}()
	until(e.t, "a full sandbox", func() bool { return out.Has("full") })
	return sigs, cancel, done
}

// TestFullSandbox: one that has as many processes as it may can still be entered, and its commands ended; and its bound is as
// before after it.
func TestFullSandbox(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	if os.Geteuid() != 0 {
		t.Skip("bothy raises no bounds here: this process is not root")
	}
	_, end, ended := e.crowd(id)
	for range 8 {
		if out, _, code := e.run(id, "echo in"); out != "in\n" || code != 0 {
			t.Fatalf("a command in it: %q, %d", out, code)
		}
	}
	file := filepath.Join(e.GroupOf(t.Context(), id, "pids"), "pids.max")
	most, err := os.ReadFile(file)
	if err != nil || strings.TrimSpace(string(most)) != "128" {
		t.Errorf("its bound is %q afterwards, %v; want 128", most, err)
	}
	end()
	if err := <-ended; !provisioner.Is(err, provisioner.Cancelled) || strings.Contains(err.Error(), "still runs") {
		t.Errorf("the command that filled it: %v", err)
	}
	until(t, "its processes' end", func() bool { return sleeps(e, id) == 1 })
}

// TestFullSandboxSignal: a signal reaches a command in a sandbox that is full.
func TestFullSandboxSignal(t *testing.T) {
	e := newEngine(t)
	if os.Geteuid() != 0 {
		t.Skip("bothy raises no bounds here: this process is not root")
	}
	sigs, _, ended := e.crowd(e.sandbox())
	sigs <- "INT"
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestFullSandboxSays: what an engine says of a start that failed in a full sandbox, in words that nobody knows, is told as
// that, in class Quota; in another sandbox it is not.
func TestFullSandboxSays(t *testing.T) {
	e := newEngine(t)
	for _, words := range []string{
		"OCI runtime exec failed: exec failed: unable to start container process: procReady not received",
		"OCI runtime exec failed: exec failed: container_linux.go:1: read init-p: connection reset by peer: unknown",
	} {
		wantClass(t, e.StartFailure(t.Context(), e.sandbox(), words), provisioner.Permanent)
	}
	id := e.sandbox()
	e.crowd(id)
	for what, ask := range map[string]func() error{
		"by the control group": func() error { return e.StartFailure(t.Context(), id, "OCI runtime exec failed: new words") },
		"by the engine":        func() error { return e.CountedFull(t.Context(), id) },
	} {
		err := ask()
		wantClass(t, err, provisioner.Quota)
		if !errors.Is(err, provisioner.ErrProcesses) || !strings.Contains(err.Error(), "of 128") {
			t.Errorf("%s: %v does not say that the sandbox is full", what, err)
		}
	}
}
