package docker_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"pgregory.net/rapid"

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

// shells are those of this host that an image may have as /bin/sh.
func shells(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for name, argv := range map[string][]string{"dash": {"dash"}, "bash": {"bash", "--posix"}, "busybox": {"busybox", "sh"}} {
		if at, err := exec.LookPath(argv[0]); err == nil {
			found[name] = append([]string{at}, argv[1:]...)
		} else {
			t.Logf("this host has no %s; it is left out", name)
		}
	}
	if len(found) == 0 {
		t.Fatal("this host has no shell to test with")
	}
	return found
}

// feed runs the stage's script in a shell of this host and gives its exit code.
func feed(t interface{ Fatal(...any) }, shell []string, dir string, frame []byte) (code int, said string) {
	cmd := exec.Command(shell[0], append(shell[1:], "-c", docker.StageScript, "bothy-stage", dir)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.Stdin = bytes.NewReader(frame)
	out, err := cmd.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited { //nolint:errorlint // as exec returns it
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// TestStageCutShort: wherever the connection breaks off, nothing is written.
func TestStageCutShort(t *testing.T) {
	frame, err := docker.EncodeFiles([]provisioner.File{{Name: "a", Mode: 0o400, Data: []byte("first")}, {Name: "b c", Mode: 0o755, Data: []byte("\x00\n")}})
	if err != nil {
		t.Fatal(err)
	}
	for name, shell := range shells(t) {
		dir := t.TempDir()
		for n := range len(frame) {
			code, said := feed(t, shell, dir, frame[:n])
			if left, err := os.ReadDir(dir); err != nil || len(left) != 0 || code == 0 || strings.Contains(said, "done") {
				t.Fatalf("%s, cut after %d of %d bytes: code %d, %q, left %v, error %v", name, n, len(frame), code, said, left, err)
			}
		}
		if code, said := feed(t, shell, dir, frame); code != 0 || said != "ready\ndone\n" {
			t.Errorf("%s, whole: code %d, %q", name, code, said)
		}
	}
}

// TestStageAnyFiles: whatever bytes and modes are sent come out the same, in every shell.
func TestStageAnyFiles(t *testing.T) {
	for name, shell := range shells(t) {
		t.Run(name, func(t *testing.T) {
			base, runs := t.TempDir(), 0
			rapid.Check(t, func(t *rapid.T) {
				runs++
				dir := filepath.Join(base, rapid.StringMatching(`[a-z]{8}`).Draw(t, "folder"))
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				var files []provisioner.File
				for _, n := range rapid.SliceOfNDistinct(rapid.StringMatching(`[ -.0-~é☂]{1,20}`), 0, 4, rapid.ID).Draw(t, "names") {
					files = append(files, provisioner.File{
						Name: n, Mode: rapid.Uint32Range(0, 0o777).Draw(t, "mode") | 0o400, Data: rapid.SliceOf(rapid.Byte()).Draw(t, "data"),
					})
				}
				frame, err := docker.EncodeFiles(files)
				if err != nil {
					if provisioner.Is(err, provisioner.Permanent) {
						return // a name such as ".."
					}
					t.Fatal(err)
				}
				if code, said := feed(t, shell, dir, frame); code != 0 || !strings.HasSuffix(said, "done\n") {
					t.Fatalf("code %d: %s", code, said)
				}
				for _, f := range files {
					got, err := os.ReadFile(filepath.Join(dir, f.Name))
					if err != nil || !bytes.Equal(got, f.Data) {
						t.Fatalf("%q: %q, error %v; want %q", f.Name, got, err, f.Data)
					}
					if info, err := os.Lstat(filepath.Join(dir, f.Name)); err != nil || uint32(info.Mode()) != f.Mode {
						t.Fatalf("%q: mode %v, error %v; want %o", f.Name, info.Mode(), err, f.Mode)
					}
				}
			})
			if runs == 0 {
				t.Error("no case was tried")
			}
		})
	}
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
	network := e.reserve()
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
