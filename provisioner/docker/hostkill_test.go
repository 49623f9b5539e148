package docker_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/versions"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
	"github.com/bothy-env/bothy/provisioner/docker/dockertest"
)

// found is a sandbox as Inventory gives it.
func (e *engine) found(id string) provisioner.Found {
	e.t.Helper()
	all, err := e.inventory(context.Background(), e.instance)
	if err != nil {
		e.t.Fatal(err)
	}
	for _, f := range all {
		if f.ID == id {
			return f
		}
	}
	e.t.Fatalf("%s is not listed", id)
	return provisioner.Found{}
}

// block makes a process of user inside stop the helper by which the engine starts a command, until the engine answers for
// the sandbox no more.
func (e *engine) block(id, user string) {
	e.t.Helper()
	for range 20 {
		if e.stopHelper(id, user) {
			return
		}
	}
	e.t.Fatal("the engine answers for the sandbox: the test proves nothing")
}

// stopHelper has a helper stopped once, and reports whether the engine waits for it: one that has told the engine that it begins, and
// has not begun yet, is no longer waited for.
func (e *engine) stopHelper(id, user string) bool {
	e.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	e.t.Cleanup(cancel)
	var said dockertest.Output
	go func() {
		_, _ = e.Exec(ctx, id, provisioner.ExecRequest{Command: []string{"probe", "stop"}, User: user}, provisioner.Streams{Stdout: &said}) // ends with the sandbox
	}()
	until(e.t, "the process that stops others", func() bool { return said.Has("ready") })
	until(e.t, "a helper that was stopped", func() bool {
		tctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		created, err := e.api.ContainerExecCreate(tctx, id, container.ExecOptions{User: "1000:1000", Cmd: []string{"true"}})
		if err == nil {
			_ = e.api.ContainerExecStart(tctx, created.ID, container.ExecStartOptions{Detach: true}) // hangs when it was hit
		}
		return said.Has("stopped")
	})
	tctx, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	if _, err := e.api.ContainerInspect(tctx, id); err != nil {
		return true
	}
	if versions.LessThan(e.api.ClientVersion(), "1.42") { // Docker 20.10
		return false
	}
	// A newer one keeps no lock while its helper starts.
	e.t.Log("this engine answers for a sandbox in which its helper is stopped")
	return true
}

// TestPromiseAlwaysRemovable: whatever a process inside does to the engine's helpers, root's or not, the sandbox is removed.
func TestPromiseAlwaysRemovable(t *testing.T) {
	for _, user := range []string{"root", "dev"} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			e := newEngine(t)
			if err := e.CanKill(); err != nil {
				t.Skip("there is no means to kill from the host:", err)
			}
			id := e.sandbox()
			f := e.found(id)
			e.block(id, user)
			began := time.Now()
			if err := e.remove(t.Context(), f); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > time.Minute {
				t.Errorf("it took %s to remove it, want at most 1m", took)
			}
			_, err := e.Inspect(t.Context(), id)
			wantClass(t, err, provisioner.NotFound)
			if left := naming(t, id); left != "" {
				t.Errorf("processes are left:\n%s", left)
			}
		})
	}
}

// naming lists the host's processes whose command line holds a text.
func naming(t *testing.T, text string) string {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, at := range all {
		line, err := os.ReadFile(at)
		if err == nil && bytes.Contains(line, []byte(text)) { // else it has ended
			fmt.Fprintf(&out, "%s: %s\n", at, bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
	}
	return out.String()
}

// TestKillSparesOthers: a kill from the host ends the sandbox's own processes and no other's, not those either which
// call themselves as an engine's helper for it, on the host without being one or in another sandbox.
func TestKillSparesOthers(t *testing.T) {
	e := newEngine(t)
	if err := e.CanKill(); err != nil {
		t.Skip("there is no means to kill from the host:", err)
	}
	id, other := e.sandbox(), e.sandbox()
	f := e.found(id)
	// As a container's shim, it names the id and is none of the engine's helpers.
	shim := exec.CommandContext(t.Context(), "sh", "-c", "sleep 1000; :", "exec", id)
	shim.Args[0], shim.SysProcAttr = "shim", &syscall.SysProcAttr{Setpgid: true}
	if err := shim.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- shim.Wait() }()
	defer func() {
		_ = syscall.Kill(-shim.Process.Pid, syscall.SIGKILL) // fails only when it has ended
		t.Log("the shim ended:", <-ended)
	}()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var said dockertest.Output
	done := make(chan error, 1)
	go func() {
		// argv[0] is "runc", the last word the id, and "exec" between: as the engine's own helper has it.
		_, err := e.Exec(ctx, other, provisioner.ExecRequest{Command: []string{"sh", "-c", "ln -s /bin/sh /tmp/runc; echo on; exec /tmp/runc -c 'sleep 1000; :' exec " + id}, User: "root"},
			provisioner.Streams{Stdout: &said})
		done <- err
	}()
	until(t, "the liar", func() bool { return said.Has("on") && strings.Contains(naming(t, id), "/tmp/runc") })
	n, err := e.Kill(t.Context(), f.Ref, f.Environment())
	if err != nil || n < 2 {
		t.Fatalf("killed %d, %v; want the sandbox's two processes at least", n, err)
	}
	until(t, "the sandbox's end", func() bool {
		st, err := e.Inspect(t.Context(), id)
		return err == nil && !st.Running
	})
	if st, err := e.Inspect(t.Context(), other); err != nil || !st.Running {
		t.Errorf("the other sandbox: %+v, %v", st, err)
	}
	if left := naming(t, id); !strings.Contains(left, "/tmp/runc") {
		t.Errorf("a process of another sandbox was killed, which only called itself as a helper; left:\n%s", left)
	}
	select {
	case err := <-ended:
		ended <- err
		t.Error("a process of the host was killed:", err)
	default:
	}
	cancel()
	t.Log("the command ended:", <-done)
}

// TestKillOnlyOurs: what is another installation's or another environment's is not killed, and nothing by the beginning of an id.
func TestKillOnlyOurs(t *testing.T) {
	e, other := newEngine(t), newEngine(t)
	if err := e.CanKill(); err != nil {
		t.Skip("there is no means to kill from the host:", err)
	}
	mine, theirs := e.sandbox(), other.sandbox()
	wrong := e.found(mine)
	wrong.Labels = testKey.Labels(e.owner())
	short := e.found(mine)
	short.ID = mine[:12]
	for name, c := range map[string]struct {
		f    provisioner.Found
		want provisioner.Class
	}{
		"another installation": {other.found(theirs), provisioner.Conflict},
		"another environment":  {wrong, provisioner.Conflict},
		"the beginning":        {short, provisioner.NotFound},
		"nothing":              {provisioner.Found{Ref: provisioner.Ref{Kind: "container", ID: noSandbox}}, provisioner.NotFound},
	} {
		n, err := e.Kill(t.Context(), c.f.Ref, c.f.Environment())
		if n != 0 {
			t.Errorf("%s: killed %d", name, n)
		}
		wantClass(t, err, c.want)
	}
	for _, id := range []string{mine, theirs} {
		if st, err := e.Inspect(t.Context(), id); err != nil || !st.Running {
			t.Errorf("%+v, %v", st, err)
		}
	}
}

// TestCannotKillElsewhere: a runtime of an engine on another machine says that it lacks the means.
func TestCannotKillElsewhere(t *testing.T) {
	r, err := docker.New(docker.Config{Host: "tcp://192.0.2.1:2376", Instance: "t" + testRun, Key: testKey,
		Network: docker.NetworkConfig{Isolation: docker.IsolationOff, Spare: -1}})
	if err != nil {
		t.Fatal(err)
	}
	wantClass(t, r.CanKill(), provisioner.Permanent)
	_, err = r.Kill(t.Context(), provisioner.Ref{Kind: "container", ID: noSandbox}, "")
	wantClass(t, err, provisioner.Permanent)
	if !strings.Contains(err.Error(), "another machine") {
		t.Errorf("%q does not say why", err)
	}
}
