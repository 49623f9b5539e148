package provisionertest

import (
	"context"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

var restartObligations = []inside{
	{"declared or absent", func(t *testing.T, e *environment) {
		if _, is := provisioner.Can[provisioner.Restarter](e.h.Runtime); is != e.h.Capabilities.Restart {
			t.Errorf("the runtime is a Restarter: %v; declared: %v", is, e.h.Capabilities.Restart)
		}
		if _, is := provisioner.Can[provisioner.Watcher](e.h.Runtime); is != e.h.Capabilities.Watch {
			t.Errorf("the runtime is a Watcher: %v; declared: %v", is, e.h.Capabilities.Watch)
		}
	}},
	{"a list tells what it is doing", testListedState},
	{"restarted: files stay, secrets and processes go", testRestart},
	{"an end is told and looks like one", testEndTold},
	{"a watch that has ended", testWatchCancelled},
}

// listed returns the sandbox's state as the inventory has it.
func (e *environment) listed(t *testing.T) provisioner.State {
	t.Helper()
	for _, f := range e.resources(t) {
		if f.ID == e.handle.Sandbox.ID {
			return f.State
		}
	}
	t.Fatal("the sandbox is not in the inventory")
	return ""
}

func testListedState(t *testing.T, e *environment) {
	if got := e.listed(t); got != provisioner.StateRunning {
		t.Errorf("listed as %q while it runs", got)
	}
	for _, f := range e.resources(t) {
		if f.ID != e.handle.Sandbox.ID && f.State != provisioner.StateUnknown {
			t.Errorf("%s %s is listed as %q", f.Kind, f.Name, f.State)
		}
	}
	if !e.h.Capabilities.Pause {
		return
	}
	t.Run("paused", func(t *testing.T) {
		e.pause(t, e.h.Runtime.(provisioner.Pauser))
		if got := e.listed(t); got != provisioner.StatePaused {
			t.Errorf("listed as %q while it is paused", got)
		}
	})
}

func testRestart(t *testing.T, e *environment) {
	if !e.h.Capabilities.Restart {
		t.Log("restarting is declared absent; the first subtest has tested that it is")
		return
	}
	r := e.h.Runtime.(provisioner.Restarter)
	wantClass(t, "Restart of what is not there", r.Restart(within(t), gone), provisioner.NotFound)
	_, err := r.OffNetwork(within(t), gone)
	wantClass(t, "OffNetwork of what is not there", err, provisioner.NotFound)
	before, err := e.h.Runtime.Inspect(within(t), e.handle.Sandbox.ID)
	if err != nil || before.StartedAt.IsZero() || !before.EndedAt.IsZero() {
		t.Fatalf("Inspect: %+v, %v", before, err)
	}
	e.wantExec(t, 0, "sh", "-c", "echo kept >"+e.h.Workspace+"/kept; echo secret >"+provisioner.SecretsDir+"/secret")
	if err := r.Restart(within(t), e.handle.Sandbox.ID); err != nil {
		t.Fatalf("Restart: %v", err)
	}
	after, err := e.h.Runtime.Inspect(within(t), e.handle.Sandbox.ID)
	if err != nil || !after.Running || !after.StartedAt.After(before.StartedAt) {
		t.Errorf("after a restart: %+v, %v; it was started at %s before", after, err, before.StartedAt)
	}
	if off, err := r.OffNetwork(within(t), e.handle.Sandbox.ID); err != nil || off {
		t.Errorf("off its network: %v, %v", off, err)
	}
	if got := e.output(t, "cat", e.h.Workspace+"/kept"); got != "kept\n" {
		t.Errorf("the file holds %q", got)
	}
	e.wantExec(t, 1, "test", "-e", provisioner.SecretsDir+"/secret")
}

// gone has the form of a sandbox's id, and is of none.
const gone = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// watch begins to watch, and returns what is told of the sandbox.
func (e *environment) watch(t *testing.T) <-chan provisioner.State {
	t.Helper()
	ctx, stop := context.WithCancel(within(t))
	told, begun, ended := make(chan provisioner.State, 16), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- e.h.Runtime.(provisioner.Watcher).Watch(ctx, e.h.Instance, func() { close(begun) }, func(f provisioner.Found) {
			if f.ID != e.handle.Sandbox.ID {
				return
			}
			if f.Labels[provisioner.LabelEnvironment] != e.spec.Owner.Environment || !e.h.Key.Verify(f.Labels) {
				t.Errorf("told with the labels %v", f.Labels)
			}
			select {
			case told <- f.State:
			default:
			}
		})
	}()
	t.Cleanup(func() {
		stop()
		wantClass(t, "Watch whose context ended", receive(t, "the end of Watch", ended), provisioner.Cancelled)
	})
	receive(t, "the begin of Watch", begun)
	return told
}

func testEndTold(t *testing.T, e *environment) {
	if !e.h.Capabilities.Watch || !e.h.kills() || !e.h.Capabilities.Restart {
		t.Log("watching, killing or restarting is declared absent")
		return
	}
	told := e.watch(t)
	var sandbox provisioner.Found
	for _, f := range e.resources(t) {
		if f.ID == e.handle.Sandbox.ID {
			sandbox = f
		}
	}
	before := time.Now()
	if _, err := e.h.Runtime.(provisioner.Killer).Kill(within(t), sandbox.Ref, sandbox.Environment()); err != nil {
		t.Fatalf("Kill: %v", err)
	}
	status, err := provisioner.Status{Running: true}, error(nil)
	for err == nil && !status.Ended() { // a watch begins with what was told of late: an end before a restart is none of this kill's
		for receive(t, "the end of the sandbox", told) != provisioner.StateEnded {
		}
		status, err = e.h.Runtime.Inspect(within(t), e.handle.Sandbox.ID)
	}
	if err != nil || !status.Ended() || status.ExitCode != 137 || status.OutOfMemory || status.EndedAt.Before(before.Add(-time.Minute)) {
		t.Errorf("Inspect of what was killed: %+v, %v", status, err)
	}
	if got := e.listed(t); got != provisioner.StateEnded {
		t.Errorf("listed as %q after its end", got)
	}
	if err := e.h.Runtime.(provisioner.Restarter).Restart(within(t), e.handle.Sandbox.ID); err != nil {
		t.Fatalf("Restart: %v", err)
	}
	for receive(t, "the start of the sandbox", told) != provisioner.StateRunning {
	}
	e.wantExec(t, 0, "true")
}

func testWatchCancelled(t *testing.T, e *environment) {
	if !e.h.Capabilities.Watch {
		return
	}
	ctx, stop := context.WithCancel(within(t))
	stop()
	err := e.h.Runtime.(provisioner.Watcher).Watch(ctx, e.h.Instance, func() {}, func(provisioner.Found) {})
	wantClass(t, "Watch with a context that has ended", err, provisioner.Cancelled)
}
