package main

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/e2e/rig"
)

// binaries builds bothy and bothyd as they are now, once for all tests.
var binaries = sync.OnceValues(func() (string, error) {
	if err := rig.TouchSources(); err != nil {
		return "", err
	}
	bin, err := os.MkdirTemp("", "demo-test-bin-")
	if err != nil {
		return "", err
	}
	builtIn = bin
	build := exec.Command("go", "build", "-o", bin, "./cmd/...")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binaries: %w\n%s", err, out)
	}
	return bin, nil
})

// builtIn is the folder of the binaries; "" when none were built.
var builtIn string

func TestMain(m *testing.M) {
	code := m.Run()
	if err := os.RemoveAll(builtIn); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// play is a stage with the real binaries, the fake driver, and a stand-in for Docker.
type play struct {
	*stage
	docker *standIn
	home   string
}

func newPlay(t *testing.T) play {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the binaries; left out by -short")
	}
	bin, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("BOTHY_BIN", bin)
	t.Setenv("BOTHY_CACHE", t.TempDir())
	t.Setenv("PATH", "/nonexistent") // so that the stand-in is asked, and not the docker command

	docker := &standIn{things: map[string]map[string]string{"container other": {labelInstance: "other234"}}}
	server := httptest.NewServer(docker)
	t.Cleanup(server.Close)
	dir, err := home()
	if err != nil {
		t.Fatal(err)
	}
	temp, err := os.MkdirTemp("", "d") // a test's own folder has too long a name for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(temp) }) // the tests look themselves
	r, err := beginRun(dir, temp, "tcp://"+server.Listener.Addr().String(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.lock.Close() }) // some tests have closed it
	r.Flags = []string{"--driver", "fake"}
	n, out, _ := mute()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("said:\n%s", out)
		}
	})
	s, err := newStage(n, r, bin)
	if err != nil {
		t.Fatal(err)
	}
	return play{stage: s, docker: docker, home: dir}
}

// begin starts the daemon, makes an environment, and leaves something at Docker that the daemon does not know.
func (p play) begin(t *testing.T) {
	t.Helper()
	if err := p.startDaemon(t.Context()); err != nil {
		t.Fatal(err)
	}
	d := p.daemon
	t.Cleanup(func() { _ = d.stop(context.Background()) }) // it should have ended
	if _, err := p.bothy(t.Context(), "up", "--name", "hello", "--source", "none"); err != nil {
		t.Fatal(err)
	}
	p.docker.things["network lost"] = map[string]string{labelInstance: p.run.Instance}
}

// gone checks that nothing of the run is left, and all of others.
func (p play) gone(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(p.run.Temp); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary folder: %v, want it gone", err)
	}
	if _, err := os.Stat(filepath.Join(p.run.dir, recordName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the record: %v, want it gone", err)
	}
	if diff := cmp.Diff([]string{"container other"}, p.docker.names()); diff != "" {
		t.Errorf("at Docker (-want +got):\n%s", diff)
	}
}

func said(p play) string {
	data, err := os.ReadFile(p.run.daemonLog())
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func TestClearAwayWithTheDaemonThere(t *testing.T) {
	p := newPlay(t)
	p.begin(t)
	d := p.daemon
	if err := p.clearAway(t.Context()); err != nil {
		t.Fatalf("clear away: %v\n%s", err, said(p))
	}
	p.gone(t)
	if d.alive() {
		t.Error("the daemon goes on")
	}
}

func TestClearAwayStartsADeadDaemonAgain(t *testing.T) {
	p := newPlay(t)
	p.begin(t)
	first := p.daemon
	if err := syscall.Kill(first.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-first.done
	var asked []string
	p.say.log = onWrite(func(b []byte) { asked = append(asked, string(b)) })
	if err := p.clearAway(t.Context()); err != nil {
		t.Fatalf("clear away: %v\n%s", err, said(p))
	}
	p.gone(t)
	if log := strings.Join(asked, ""); !strings.Contains(log, "restarting bothyd") || !strings.Contains(log, "Deleted default/hello") {
		t.Errorf("want the daemon restarted, and the environment deleted by it:\n%s", log)
	}
}

func TestCleanTakesOverFromADemoThatWasKilled(t *testing.T) {
	p := newPlay(t)
	p.begin(t)
	busy := begin(t, p.home)
	if err := p.run.lock.Close(); err != nil { // as the kernel does
		t.Fatal(err)
	}
	n, out, _ := mute()
	if err := cleanAll(t.Context(), n); !errors.Is(err, errAtWork) {
		t.Errorf("clean: %v, want it told that another demo is at work", err)
	}
	p.gone(t)
	select {
	case <-p.daemon.done:
	case <-time.After(patience):
		t.Error("the daemon goes on")
	}
	if !strings.Contains(out.String(), "Deleted default/hello") {
		t.Errorf("want the environment given back by its daemon:\n%s", out)
	}
	if _, err := os.Stat(filepath.Join(busy.dir, recordName)); err != nil {
		t.Errorf("the demo that is at work lost its record: %v", err)
	}
	if err := errors.Join(os.Remove(busy.Temp), busy.forget(), busy.lock.Close()); err != nil {
		t.Fatal(err)
	}
	if err := cleanAll(t.Context(), n); err != nil {
		t.Errorf("clean again: %v", err)
	}
	if _, err := os.Stat(p.home); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the demos' folder: %v, want it gone", err)
	}
}

// Interrupted while the daemon starts, before it was asked for anything.
func TestClearAwayBeforeTheDaemonIsReady(t *testing.T) {
	p := newPlay(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(interrupted{syscall.SIGINT})
	if err := p.startDaemon(ctx); !errors.Is(err, interrupted{syscall.SIGINT}) {
		t.Fatalf("start: %v, want the interrupt", err)
	}
	d := p.daemon
	// How the daemon takes a SIGTERM while it starts is not the matter here.
	if err := p.clearAway(t.Context()); err != nil && !strings.HasPrefix(err.Error(), "stop bothyd: exit status") {
		t.Errorf("clear away: %v", err)
	}
	if d.alive() {
		t.Error("the daemon goes on")
	}
	p.gone(t)
}

func TestADaemonThatCannotStartSaysWhy(t *testing.T) {
	p := newPlay(t)
	p.run.Flags = append(p.run.Flags, "--network-pool", "nonsense")
	err := p.startDaemon(t.Context())
	if err == nil || !strings.Contains(err.Error(), "bothyd ended by itself: exit status 1") {
		t.Errorf("start: %v, want that it ended", err)
	}
	if !strings.Contains(said(p), "nonsense") {
		t.Errorf("its log does not say why: %s", said(p))
	}
	if err := p.clearAway(t.Context()); err != nil {
		t.Errorf("clear away: %v", err)
	}
	p.gone(t)
}

// TestRemoveTree: whoever is not root leaves nothing either, though Terraform's templates are read-only.
func TestRemoveTree(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	template := filepath.Join(dir, "templates", "digest")
	if err := os.MkdirAll(template, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(template, "main.tf"), nil, 0o400); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(template, 0o500); err != nil {
		t.Fatal(err)
	}
	if err := removeTree(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}
