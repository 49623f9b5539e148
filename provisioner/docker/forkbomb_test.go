package docker_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
	"github.com/bothy-env/bothy/provisioner/docker/dockertest"
)

// forkBomb has a sandbox's processes fork without end until the test is over.
func (e *engine) forkBomb(id string) {
	e.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = e.Exec(ctx, id, provisioner.ExecRequest{Command: []string{"probe", "bomb"}, User: "root"}, provisioner.Streams{}) // ends with the sandbox
	}()
	e.t.Cleanup(func() { cancel(); <-ended })
	file := filepath.Join(e.GroupOf(e.t.Context(), id, "pids"), "pids.events")
	until(e.t, "forks that failed", func() bool {
		text, err := os.ReadFile(file)
		return err == nil && strings.TrimSpace(string(text)) != "max 0"
	})
}

// bombPids is how many processes such a sandbox may have.
const bombPids = 48

// bombed is a sandbox with a fork bomb under way, which may have half a core.
func bombed(e *engine) string {
	e.t.Helper()
	if os.Geteuid() != 0 {
		e.t.Skip("bothy raises no bounds here: this process is not root")
	}
	id := e.sandbox(func(_ *container.Config, h *container.HostConfig) {
		h.CPUPeriod, h.CPUQuota, h.PidsLimit = 100_000, 50_000, new(int64(bombPids))
	})
	e.forkBomb(id)
	return id
}

// TestForkBombLetsHelpersIn: while a fork bomb goes on in a sandbox, each command is started, each is ended, the bomb wins
// none of the room that is made for that, and the sandbox is removed. What was held still for it goes on, and the bound is as before.
func TestForkBombLetsHelpersIn(t *testing.T) {
	e := newEngine(t)
	id := bombed(e)
	const rounds = 10
	in, ended, began := 0, 0, time.Now()
	for range rounds {
		var out dockertest.Output
		code, err := e.Exec(t.Context(), id, provisioner.ExecRequest{Command: []string{"sh", "-c", "echo in"}}, provisioner.Streams{Stdout: &out})
		if err == nil && code == 0 && out.Has("in\n") {
			in++
			continue
		}
		t.Logf("a command: %d, %v", code, err)
	}
	t.Logf("%d commands took %s", rounds, time.Since(began))
	began = time.Now()
	for range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		var out dockertest.Output
		done := make(chan error, 1)
		go func() {
			_, err := e.Exec(ctx, id, provisioner.ExecRequest{Command: []string{"sh", "-c", "echo on; exec sleep 1000"}}, provisioner.Streams{Stdout: &out})
			done <- err
		}()
		until(t, "a command that is to be ended", func() bool { return out.Has("on\n") || len(done) > 0 })
		cancel()
		err := <-done
		if provisioner.Is(err, provisioner.Cancelled) && !strings.Contains(err.Error(), "still runs") {
			ended++
			continue
		}
		t.Log("a command's end:", err)
	}
	t.Logf("%d that were ended took %s", rounds, time.Since(began))
	if in != rounds || ended != rounds {
		t.Errorf("%d of %d commands were started, %d were ended", in, rounds, ended)
	}
	group := e.GroupOf(t.Context(), id, "pids")
	for _, file := range []string{"pids.current", "pids.events"} {
		text, err := os.ReadFile(filepath.Join(group, file))
		t.Logf("%s: %s, %v", file, strings.TrimSpace(string(text)), err)
	}
	if held, ok := e.PidsOf(t.Context(), id); !ok || held > bombPids+8 {
		t.Errorf("%d processes afterwards, %v; want the bomb's %d and no more than a few that end", held, ok, bombPids)
	}
	most, err := os.ReadFile(filepath.Join(group, "pids.max"))
	if err != nil || strings.TrimSpace(string(most)) != "48" {
		t.Errorf("its bound is %q afterwards, %v; want 48", most, err)
	}
	if held := docker.HeldStill(e.GroupOf(t.Context(), id, "freezer")); held {
		t.Error("it is held still")
	}
	if err := e.remove(t.Context(), e.found(id)); err != nil {
		t.Error(err)
	}
}

// TestHeldStillByAKilledProcess: a sandbox that a process held still when it was killed goes on with the next Reconcile of that
// installation, with its own bound.
func TestHeldStillByAKilledProcess(t *testing.T) {
	e := newEngine(t)
	if os.Geteuid() != 0 {
		t.Skip("bothy holds nothing still here: this process is not root")
	}
	parent, err := e.CgroupParent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id := e.sandbox(func(_ *container.Config, h *container.HostConfig) { h.CgroupParent = parent })
	freezer, pids := e.GroupOf(t.Context(), id, "freezer"), filepath.Join(e.GroupOf(t.Context(), id, "pids"), "pids.max")
	e.LeaveHeldStill(t.Context(), id)
	if most, err := os.ReadFile(pids); err != nil || strings.TrimSpace(string(most)) != "192" || !docker.HeldStill(freezer) {
		t.Fatal("it is not held still: the test proves nothing")
	}
	if err := e.Reconcile(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if most, err := os.ReadFile(pids); err != nil || strings.TrimSpace(string(most)) != "128" || docker.HeldStill(freezer) {
		t.Errorf("its bound is %q, %v, held still: %v; want 128, and no", most, err, docker.HeldStill(freezer))
	}
	if out, _, code := e.run(id, "echo in"); out != "in\n" || code != 0 {
		t.Errorf("a command in it: %q, %d", out, code)
	}
}
