package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// patience bounds waits for what is a matter of milliseconds on a machine that is not busy.
const patience = 2 * time.Minute

func TestTheDaemonGetsNoOthersSettings(t *testing.T) {
	r := &run{record: record{Temp: "/t", Engine: "unix:///e.sock"}}
	environ := []string{
		"PATH=/bin", "DOCKER_HOST=x", "BOTHY_CACHE=/c", "BOTHY_TERRAFORM_WARM=false", "BOTHY_NETWORK_POOL=10.9.0.0/16", "BOTHY_ENGINE_HOST=unix:///other",
		"BOTHY_DATABASE=sqlite:///precious.db", "BOTHY_LISTEN_TCP=:1", "BOTHY_CONFIG=/etc/x", "BOTHY_STATE_DIR=/precious", "BOTHY_BIN=/b", "BOTHY_CACHE_X=1",
	}
	want := []string{
		"BOTHY_CONFIG=/dev/null", "PATH=/bin", "DOCKER_HOST=x", "BOTHY_CACHE=/c", "BOTHY_TERRAFORM_WARM=false",
		"BOTHY_NETWORK_POOL=10.9.0.0/16", "BOTHY_ENGINE_HOST=unix:///other", "BOTHY_ENGINE_HOST=unix:///e.sock",
	}
	if diff := cmp.Diff(want, daemonEnv(environ, r)); diff != "" {
		t.Errorf("the daemon's environment (-want +got):\n%s", diff)
	}
	got := commandEnv([]string{"PATH=/bin", "BOTHY_HOST=unix:///precious", "BOTHY_OUTPUT=json", "BOTHY_TOKEN=secret"}, r)
	if diff := cmp.Diff([]string{"PATH=/bin", "BOTHY_HOST=unix:///t/bothyd.sock"}, got); diff != "" {
		t.Errorf("the commands' environment (-want +got):\n%s", diff)
	}
	r.Flags = []string{"--network-isolation", "off"}
	if args := r.arguments(); !slices.Contains(args, "/t/state") || !slices.Contains(args, "off") {
		t.Errorf("arguments %q lack the state directory or the run's flags", args)
	}
}

// holdLock takes a state directory's lock as a daemon does.
func holdLock(t *testing.T, state, says string) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(state, "bothyd.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		_, err = f.WriteString(says)
	}
	if err == nil {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // some tests have closed it
	return f
}

func TestAdoptFindsWhoeverHoldsTheLock(t *testing.T) {
	state := t.TempDir()
	if d, err := adopt(state); d != nil || err != nil {
		t.Fatalf("with no lock at all: %v, %v", d, err)
	}
	f := holdLock(t, state, "4711\n")
	d, err := adopt(state)
	if err != nil || d == nil || d.pid != 4711 || !d.alive() {
		t.Fatalf("adopt = %+v, %v; want process 4711, alive", d, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-d.done:
	case <-time.After(patience):
		t.Fatal("the end of the daemon was not seen")
	}
	// The lock file stays, and its process id may be somebody else's by now.
	if d, err := adopt(state); d != nil || err != nil {
		t.Errorf("a daemon that has ended was adopted: %+v, %v", d, err)
	}
}

// A signal to process 0, 1 or -1 would reach many.
func TestAdoptTakesNoOddProcess(t *testing.T) {
	for _, says := range []string{"", "0\n", "1\n", "-1\n", "x\n"} {
		state := t.TempDir()
		holdLock(t, state, says)
		if d, err := adopt(state); err == nil {
			t.Errorf("a lock that says %q gave %+v", says, d)
		}
	}
}

// child starts a script as a daemon that has said that it is there.
func child(t *testing.T, script string) *daemon {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = out.Read(make([]byte, 1))
	}
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{pid: cmd.Process.Pid, done: make(chan struct{})}
	go func() {
		d.err = cmd.Wait()
		close(d.done)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-d.done
	})
	return d
}

func TestStop(t *testing.T) {
	for _, c := range []struct{ name, script, wrong string }{
		{"in order", `trap 'exit 0' TERM; echo; while :; do sleep 0.02; done`, ""},
		{"before it listens", `echo; exec sleep 60`, ""},
		{"with a complaint", `trap 'exit 3' TERM; echo; while :; do sleep 0.02; done`, "exit status 3"},
	} {
		d := child(t, c.script)
		err := d.stop(t.Context())
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.wrong)
		}
		if d.alive() {
			t.Errorf("%s: it goes on", c.name)
		}
		if err := d.stop(t.Context()); err != nil {
			t.Errorf("%s: stopped again: %v", c.name, err)
		}
	}
}

func TestOneThatDoesNotStopIsKilled(t *testing.T) {
	d := child(t, `trap '' TERM; echo; while :; do sleep 0.02; done`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // in place of the time that it is given
	if err := d.stop(ctx); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("error %v, want it said that it was killed", err)
	}
	select {
	case <-d.done:
	case <-time.After(patience):
		t.Error("it goes on")
	}
}

func TestADaemonThatDiesEndsTheWork(t *testing.T) {
	s, _, _ := hand(t)
	s.daemon = child(t, "echo; sleep 0.05; exit 4")
	err := s.withDaemon(t.Context(), func(ctx context.Context) error {
		_, err := s.do(ctx, command{argv: []string{"sleep", "60"}})
		return err
	})
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 4 || !strings.Contains(err.Error(), "bothyd ended by itself") {
		t.Errorf("error %v, want that bothyd ended, with its exit status", err)
	}
}
