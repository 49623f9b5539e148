package docker_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
)

// stage opens a way into a sandbox for dev.
func (e *engine) stage(id string) provisioner.Stage {
	e.t.Helper()
	s, err := e.Stage(e.t.Context(), id, "dev")
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = s.Close() })
	return s
}

func secret(name, data string) []provisioner.File {
	return []provisioner.File{{Name: name, Mode: 0o400, Data: []byte(data)}}
}

// TestStageSecretsUnseen is promise 14: a secret is in its file and nowhere else that can be looked at.
func TestStageSecretsUnseen(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	const word = "hunter2-in-plain-sight"
	waiting := e.stage(id)
	if err := e.stage(id).Deliver(t.Context(), secret("password", word)); err != nil {
		t.Fatal(err)
	}
	out, _, code := e.run(id, `cat /run/bothy/password; for f in /proc/[0-9]*/cmdline /proc/[0-9]*/environ; do tr '\0' ' ' <$f; done 2>/dev/null; true`)
	wantEqual(t, "exit code", code, 0)
	wantEqual(t, "times that the secret is seen inside, its file among them", strings.Count(out, word), 1)
	_, raw, err := e.api.ContainerInspectWithRaw(t.Context(), id, true)
	if err != nil {
		t.Fatal(err)
	}
	logs, err := e.api.ContainerLogs(t.Context(), id, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	text, err := io.ReadAll(logs)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte(word)) || bytes.Contains(text, []byte(word)) {
		t.Error("the secret is in what the engine tells of the sandbox, or in its log")
	}
	wantEqual(t, "close", waiting.Close(), nil)
}

// TestStageKilled: the process that waits may be killed by any of its user's.
func TestStageKilled(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	s := e.stage(id)
	e.run(id, `for p in /proc/[0-9]*; do case "$(tr '\0' ' ' <$p/cmdline)" in *"bothy-stage /run/bothy "*) [ ${p#/proc/} = $$ ] || kill -9 ${p#/proc/};; esac; done`)
	wantClass(t, s.Deliver(t.Context(), secret("a", "b")), provisioner.NotFound)
}

// TestStageNowhere: where nothing can be delivered to, the stage says so, and not the claim.
func TestStageNowhere(t *testing.T) {
	e := newEngine(t)
	tmpfs := func(options string) func(*container.Config, *container.HostConfig) {
		return func(_ *container.Config, h *container.HostConfig) {
			h.Tmpfs = map[string]string{}
			if options != "" {
				h.Tmpfs[provisioner.SecretsDir] = options
			}
		}
	}
	for what, c := range map[string]struct {
		options string
		want    provisioner.Class
	}{
		"no folder":      {"", provisioner.Permanent},
		"another's":      {"mode=0700", provisioner.Denied},
		"read-only":      {"ro,mode=0700,uid=1000,gid=1000", provisioner.Denied},
		"readable by me": {"mode=0755", provisioner.Denied},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := e.Stage(t.Context(), e.sandbox(tmpfs(c.options)), "dev")
			wantClass(t, err, c.want)
		})
	}
}

// TestStageStopped: what has ended takes no stage, is not paused, and has no traffic.
func TestStageStopped(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	s := e.stage(id)
	now := 0
	if err := e.api.ContainerStop(t.Context(), id, container.StopOptions{Timeout: &now}); err != nil {
		t.Fatal(err)
	}
	wantClass(t, s.Deliver(t.Context(), nil), provisioner.NotFound)
	_, err := e.Stage(t.Context(), id, "dev")
	wantClass(t, err, provisioner.Conflict)
	wantClass(t, e.Pause(t.Context(), id), provisioner.Conflict)
	wantClass(t, e.Unpause(t.Context(), id), provisioner.Conflict)
	_, err = e.Traffic(t.Context(), id)
	wantClass(t, err, provisioner.Conflict)
}

// TestStageHungEngine: an engine that does not answer holds nobody longer than its context, or the call's time.
func TestStageHungEngine(t *testing.T) {
	p := newProxy(t)
	e := newEngine(t, through(p), func(c *docker.Config) { c.CallTimeout = 5 * time.Second }) // of a busy machine
	id := e.sandbox()
	s := e.stage(id)
	p.set(func(p *proxy) { p.holdOn = []byte("/start HTTP") })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := e.Stage(ctx, id, "dev")
	wantClass(t, err, provisioner.Cancelled)
	_, err = e.Stage(t.Context(), id, "dev")
	wantClass(t, err, provisioner.Transient)
	p.set(func(p *proxy) { p.holdOn = []byte("end\n") })
	wantClass(t, s.Deliver(t.Context(), nil), provisioner.NotFound) // all that arrived is the end of the connection
	p.set(func(p *proxy) { p.holdOn = nil })

	frozen, cut := e.stage(id), e.stage(id)
	wantEqual(t, "pause", e.Pause(t.Context(), id), nil)
	wantClass(t, frozen.Deliver(t.Context(), nil), provisioner.Transient)
	wantEqual(t, "unpause", e.Unpause(t.Context(), id), nil)
	p.cut()
	wantClass(t, cut.Deliver(t.Context(), secret("late", "x")), provisioner.Transient)
	p.set(func(p *proxy) { p.down = false })
	if out, _, _ := e.run(id, "ls -A /run/bothy"); out != "" {
		t.Errorf("what was cut off left %q", out)
	}
}

// TestStageLeaksNothing: what waits costs a connection and no goroutine; what was used or closed costs nothing.
func TestStageLeaksNothing(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	files := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if err := e.stage(id).Deliver(t.Context(), nil); err != nil { // idle connections of the client are there from now on
		t.Fatal(err)
	}
	fds, routines := files(), runtime.NumGoroutine()
	const n = 30
	var all []provisioner.Stage
	for range n {
		all = append(all, e.stage(id))
	}
	until(t, "no more goroutines than before", func() bool { return runtime.NumGoroutine() <= routines+3 })
	if got := files(); got > fds+n+3 {
		t.Errorf("%d stages hold %d files", n, got-fds)
	}
	for i, s := range all {
		if i%2 == 0 {
			wantEqual(t, "deliver", s.Deliver(t.Context(), secret("f", "x")), nil)
		} else {
			wantEqual(t, "close", s.Close(), nil)
		}
	}
	until(t, "no more files and goroutines than before", func() bool { return files() <= fds+3 && runtime.NumGoroutine() <= routines+3 })
}

// TestTraffic: bytes from and to a sandbox are counted.
func TestTraffic(t *testing.T) {
	e := newEngine(t, func(c *docker.Config) { c.Network.Isolation = docker.IsolationOff })
	network := e.ReserveNetwork()
	id := e.sandbox(on(network))
	before, err := e.Traffic(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	e.all(id, "dial", listen(t, e.gateway(network)))
	until(t, "the traffic of a connection", func() bool {
		now, err := e.Traffic(t.Context(), id)
		return err == nil && now > before
	})
	without, err := e.Traffic(t.Context(), e.sandbox())
	wantEqual(t, "error without a network", err, nil)
	wantEqual(t, "traffic without a network", without, int64(0))
}

// TestPauseAtOnce: frozen and thawed in quick succession, a sandbox is what it was made last: old engines
// believe a late event of the call before.
func TestPauseAtOnce(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	for i := range 15 {
		wantEqual(t, "pause", e.Pause(t.Context(), id), nil)
		wantEqual(t, "unpause", e.Unpause(t.Context(), id), nil)
		if i%3 == 0 {
			st, err := e.Inspect(t.Context(), id)
			wantEqual(t, "error of Inspect", err, nil)
			wantEqual(t, "running", st.Running, true)
		}
		_, _, code := e.run(id, "true")
		wantEqual(t, "exit code", code, 0)
	}
}

// TestStageEntryKilled: when only what was to enter a sandbox ends, the sandbox has not ended, and is not given up.
func TestStageEntryKilled(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	e.asRoot(id, "mv /bin/sh /bin/kept; mv /bin/false /bin/sh")
	_, err := e.Stage(t.Context(), id, "dev")
	wantClass(t, err, provisioner.Transient)
	if strings.Contains(err.Error(), "ended") {
		t.Errorf("%q says that the sandbox ended", err)
	}
	timeout := 0
	if err := e.api.ContainerStop(t.Context(), id, container.StopOptions{Timeout: &timeout}); err != nil {
		t.Fatal(err)
	}
	_, err = e.Stage(t.Context(), id, "dev")
	wantClass(t, err, provisioner.Conflict)
}
