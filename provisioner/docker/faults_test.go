package docker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
	"github.com/bothy-env/bothy/provisioner/docker/dockertest"
)

// everyCall lists calls that must answer whatever the engine does.
func everyCall(e *engine) map[string]func(context.Context) error {
	f := provisioner.Found{Ref: provisioner.Ref{Kind: "container", ID: noSandbox}}
	return map[string]func(context.Context) error{
		"Ready":        e.Ready,
		"ResolveImage": func(ctx context.Context) error { _, err := e.ResolveImage(ctx, "x"); return err },
		"Inspect":      func(ctx context.Context) error { _, err := e.Inspect(ctx, f.ID); return err },
		"Exec": func(ctx context.Context) error {
			_, err := e.Exec(ctx, f.ID, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{})
			return err
		},
		"CopyTo":    func(ctx context.Context) error { return e.CopyTo(ctx, f.ID, "/", "", packItems(e.t)) },
		"CopyFrom":  func(ctx context.Context) error { _, err := e.CopyFrom(ctx, f.ID, "/x", ""); return err },
		"Logs":      func(ctx context.Context) error { return e.Logs(ctx, f.ID, provisioner.LogsRequest{}, nil) },
		"Inventory": func(ctx context.Context) error { _, err := e.inventory(ctx, e.instance); return err },
		"Remove":    func(ctx context.Context) error { return e.remove(ctx, f) },
		"Reserve":   func(ctx context.Context) error { _, err := e.Reserve(ctx, e.owner()); return err },
		"Release":   func(ctx context.Context) error { return e.Release(ctx, "x") },
		"Reconcile": func(ctx context.Context) error { return e.Reconcile(ctx, nil) },
	}
}

// bare is a Runtime for tests without the real engine, at an address.
func bare(t *testing.T, addr string) *engine {
	t.Helper()
	r, err := docker.New(docker.Config{Host: "unix://" + addr, Instance: "t" + testRun, Key: testKey, CallTimeout: time.Second,
		Network: docker.NetworkConfig{Isolation: docker.IsolationOff, Spare: -1}})
	if err != nil {
		t.Fatal(err)
	}
	r.Impossible() // no firewall command is to run
	return &engine{Engine: &dockertest.Engine{Runtime: r, T: t, Instance: "t" + testRun}, t: t, instance: "t" + testRun}
}

// TestEngineAway: no call hangs, panics or says anything but "unavailable" while the engine is away.
func TestEngineAway(t *testing.T) {
	dir := t.TempDir()
	dead, err := net.Listen("unix", filepath.Join(dir, "dead"))
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = dead.Close()
	hung, err := net.Listen("unix", filepath.Join(dir, "hung")) // takes connections, never answers
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close()
	for name, addr := range map[string]string{"no socket": filepath.Join(dir, "none"), "refused": filepath.Join(dir, "dead"), "hung": filepath.Join(dir, "hung")} {
		e := bare(t, addr)
		for call, do := range everyCall(e) {
			t.Run(name+"/"+call, func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				err := do(context.Background())
				if !provisioner.Is(err, provisioner.Transient) || !provisioner.IsUnavailable(err) {
					t.Errorf("got %v (%s), want transient and unavailable", err, provisioner.ClassOf(err))
				}
				if took := time.Since(began); took > time.Minute {
					t.Errorf("took %s", took)
				}
				if call == "Ready" && !strings.Contains(err.Error(), addr) {
					t.Errorf("%q does not name the address", err)
				}
			})
			t.Run(name+"/cancelled "+call, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				wantClass(t, do(ctx), provisioner.Cancelled)
			})
		}
	}
}

// answering is an engine that answers by a table of "METHOD path-suffix".
func answering(t *testing.T, answers func(method, path string) (int, string)) *engine {
	t.Helper()
	addr := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/_ping") {
			return
		}
		code, body := answers(r.Method, r.URL.Path)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body) // the client tells
	})}
	go func() { _ = s.Serve(l) }() // ends with Close
	t.Cleanup(func() { _ = s.Close() })
	return bare(t, addr)
}

func message(s string) string { return fmt.Sprintf(`{"message":%q}`, s) }

// TestClasses: what the engine says becomes the right class.
func TestClasses(t *testing.T) {
	for name, c := range map[string]struct {
		code int
		body string
		want provisioner.Class
	}{
		"not found":     {404, message("No such container: x"), provisioner.NotFound},
		"conflict":      {409, message("name is in use"), provisioner.Conflict},
		"bad request":   {400, message("invalid"), provisioner.Permanent},
		"forbidden":     {403, message("not allowed"), provisioner.Permanent},
		"server":        {500, message("something broke"), provisioner.Transient},
		"busy":          {503, message("swarm"), provisioner.Transient},
		"disk full":     {500, message("mkdir /var/lib/docker/x: no space left on device"), provisioner.Quota},
		"address pools": {500, message("could not find an available, non-overlapping IPv4 address pool among the defaults"), provisioner.Quota},
		"no JSON":       {500, "<html>", provisioner.Transient},
		"odd JSON":      {200, `{}`, provisioner.Transient},
		"cut JSON":      {200, `{"State":`, provisioner.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			e := answering(t, func(string, string) (int, string) { return c.code, c.body })
			_, err := e.Inspect(t.Context(), noSandbox)
			wantClass(t, err, c.want)
		})
	}
}

// TestTrafficUncounted: an engine that cannot read a running sandbox's counters is not taken for a sandbox that has ended,
// which nobody would hear of.
func TestTrafficUncounted(t *testing.T) {
	for state, want := range map[string]provisioner.Class{
		`"Running":true`: provisioner.Transient, `"Running":true,"Paused":true`: provisioner.Transient, `"Running":false`: provisioner.Conflict,
	} {
		e := answering(t, func(_, path string) (int, string) {
			if strings.HasSuffix(path, "/stats") {
				return 200, `{"read":"0001-01-01T00:00:00Z"}`
			}
			return 200, `{"Id":"` + noSandbox + `","State":{` + state + `}}`
		})
		_, err := e.Traffic(t.Context(), noSandbox)
		wantClass(t, err, want)
	}
}

// TestInventoryIncomplete: a part of the list failing, or the engine saying that it left some out, is an error.
func TestInventoryIncomplete(t *testing.T) {
	for _, broken := range []string{"/containers/json", "/networks", "/volumes", "warning"} {
		t.Run(broken, func(t *testing.T) {
			e := answering(t, func(_, path string) (int, string) {
				switch {
				case strings.HasSuffix(path, broken):
					return 500, message("broken")
				case strings.HasSuffix(path, "/volumes") && broken == "warning":
					return 200, `{"Volumes":[],"Warnings":["driver x did not answer"]}`
				case strings.HasSuffix(path, "/volumes"):
					return 200, `{"Volumes":[]}`
				}
				return 200, `[]`
			})
			found, err := e.inventory(t.Context(), e.instance)
			wantClass(t, err, provisioner.Transient)
			wantEqual(t, "found", found, []provisioner.Found(nil))
		})
	}
}

// ours is an engine's list of one container of ours, and that as it was found.
func ours(e *engine) (list string, f provisioner.Found) {
	labels := testKey.Labels(e.owner())
	var l []string
	for k, v := range labels {
		l = append(l, fmt.Sprintf("%q:%q", k, v))
	}
	return `[{"Id":"` + noSandbox + `","Labels":{` + strings.Join(l, ",") + `}}]`, provisioner.Found{Ref: provisioner.Ref{Kind: "container", ID: noSandbox}, Labels: labels}
}

// TestRemoveInProgress: a removal under way is waited for; one that is stuck ends as Transient.
func TestRemoveInProgress(t *testing.T) {
	var tries atomic.Int32
	gone := func(after int32) (*engine, provisioner.Found) {
		var list string
		var f provisioner.Found
		e := answering(t, func(method, _ string) (int, string) {
			switch {
			case method == http.MethodGet && tries.Load() >= after:
				return 200, "[]"
			case method == http.MethodGet:
				return 200, list
			case tries.Add(1)%2 == 1:
				return 409, message("removal of container x is already in progress")
			}
			return 500, message("driver failed to remove root filesystem: device or resource busy")
		})
		list, f = ours(e)
		return e, f
	}
	e, f := gone(3)
	if err := e.remove(t.Context(), f); err != nil {
		t.Error(err)
	}
	wantEqual(t, "tries", tries.Load(), int32(3))
	e, f = gone(1 << 30)
	e.SetRemoveFor(500 * time.Millisecond)
	err := e.remove(t.Context(), f)
	wantClass(t, err, provisioner.Transient)
	if provisioner.IsUnavailable(err) || !strings.Contains(err.Error(), "stuck") {
		t.Errorf("got %v, want it to say that the container is stuck", err)
	}
}

// TestExecCut: an engine that goes away while a command runs gives Transient, soon, and never an exit code.
func TestExecCut(t *testing.T) {
	p := newProxy(t)
	e := newEngine(t)
	far := newEngine(t, through(p), func(c *docker.Config) {
		c.Instance, c.CallTimeout = e.instance, 15*time.Second // less than that, a busy machine may take to start a command
	})
	id := e.sandbox()
	var out dockertest.Output
	done := make(chan error, 1)
	go func() {
		code, err := far.Exec(t.Context(), id, provisioner.ExecRequest{Command: []string{"sh", "-c", "echo on; exec sleep 30"}}, provisioner.Streams{Stdout: &out})
		if err == nil {
			err = fmt.Errorf("exit code %d", code)
		}
		done <- err
	}()
	until(t, "the command's start", func() bool { return out.Has("on") })
	p.cut()
	err := <-done
	if !provisioner.Is(err, provisioner.Transient) || !provisioner.IsUnavailable(err) {
		t.Errorf("got %v, want transient and unavailable", err)
	}
	wantClass(t, far.Ready(t.Context()), provisioner.Transient)
	p.set(func(p *proxy) { p.down = false })
	if err := far.Ready(t.Context()); err != nil {
		t.Error("the engine is back:", err)
	}
}

// TestExecConnectionLost: a command whose connection breaks while engine and sandbox live on is not taken for
// ended, and does not run on unseen.
func TestExecConnectionLost(t *testing.T) {
	p := newProxy(t)
	e := newEngine(t)
	far := newEngine(t, through(p), func(c *docker.Config) {
		c.Instance, c.CallTimeout = e.instance, 15*time.Second // less than that, a busy machine may take to start a command
	})
	id := e.sandbox()
	var out dockertest.Output
	done := make(chan error, 1)
	go func() {
		code, err := far.Exec(t.Context(), id, provisioner.ExecRequest{Command: []string{"sh", "-c", "echo on; exec sleep 1000"}}, provisioner.Streams{Stdout: &out})
		if err == nil {
			err = fmt.Errorf("exit code %d", code)
		}
		done <- err
	}()
	until(t, "the command's start", func() bool { return out.Has("on") })
	p.cut()
	p.set(func(p *proxy) { p.down = false })
	err := <-done
	if !provisioner.Is(err, provisioner.Transient) || !provisioner.IsUnavailable(err) {
		t.Errorf("got %v, want transient and unavailable", err)
	}
	wantEqual(t, "processes left", sleeps(e, id), 1)
}

// TestExecStartHangs: the upgrade request, which the SDK does not bound, is bounded here, and leaves no goroutine.
func TestExecStartHangs(t *testing.T) {
	p := newProxy(t)
	e := newEngine(t)
	far := newEngine(t, through(p), func(c *docker.Config) { c.Instance = e.instance })
	id := e.sandbox()
	req := provisioner.ExecRequest{Command: []string{"true"}}
	until(t, "a command on a busy machine", func() bool {
		_, err := far.Exec(t.Context(), id, req, provisioner.Streams{})
		return err == nil
	})
	p.set(func(p *proxy) { p.holdOn = []byte("/start HTTP") })
	before := runtime.NumGoroutine()
	for range 3 {
		_, err := far.Exec(t.Context(), id, req, provisioner.Streams{})
		if !provisioner.Is(err, provisioner.Transient) || !provisioner.IsUnavailable(err) {
			t.Errorf("got %v, want transient and unavailable", err)
		}
	}
	p.set(func(p *proxy) { p.holdOn = nil })
	until(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before+2 })
}

// TestReserveReplyLost: a network whose reply was lost is found again, and nothing of it is left.
func TestReserveReplyLost(t *testing.T) {
	p := newProxy(t)
	e := newEngine(t, through(p))
	p.set(func(p *proxy) { p.dropOn = []byte("/networks/create") })
	_, err := e.Reserve(t.Context(), e.owner())
	wantClass(t, err, provisioner.Transient)
	p.set(func(p *proxy) { p.dropOn = nil })
	if p.dropped == 0 {
		t.Fatal("no reply was lost: the test proves nothing")
	}
	// The rest by a runtime that waits as long as a busy engine takes.
	patient := newEngine(t, func(c *docker.Config) { c.Instance = e.instance })
	until(t, "the network, made all the same", func() bool { return len(patient.networks()) == 1 })
	name := patient.ReserveNetwork()
	wantEqual(t, "another network is handed out", len(patient.networks()), 2)
	patient.reconcile(name)
	patient.reconcile(name) // whoever made it may have been about to write it down
	wantEqual(t, "networks", patient.networks(), []string{name})
}

// TestLogsCut: following a log ends with an error, not as if the sandbox had ended.
func TestLogsCut(t *testing.T) {
	p := newProxy(t)
	e := newEngine(t)
	far := newEngine(t, through(p), func(c *docker.Config) { c.Instance = e.instance })
	id := talker(e, "echo on; sleep 1000")
	began := make(chan struct{}, 1)
	done := make(chan error, 1)
	go func() {
		done <- far.Logs(t.Context(), id, provisioner.LogsRequest{Follow: true}, func(provisioner.LogLine) error { began <- struct{}{}; return nil })
	}()
	<-began
	p.cut()
	err := <-done
	wantClass(t, err, provisioner.Transient)
	p.set(func(p *proxy) { p.down = false })
	if errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
