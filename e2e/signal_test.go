package e2e_test

import (
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// inShell gives a daemon's command that a shell becomes, after it did what script says.
func (d *daemon) inShell(script string, extra ...string) *exec.Cmd {
	cmd := d.command(extra...)
	args := append([]string{"-c", script + `; exec "$0" "$@"`}, cmd.Args...)
	shell := exec.Command("/bin/sh", args...)
	shell.Env = cmd.Env
	return shell
}

// TestTheDaemonOutlivesItsLog: whatever becomes of the log, leases are kept and end.
func TestTheDaemonOutlivesItsLog(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"its reader has gone":            ":",
		"standard streams are closed":    "exec <&- >&- 2>&-",
		"the disk under the log is full": "exec >/dev/full 2>&1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := startFake(t)
			if code := d.terminate(); code != 0 {
				t.Fatalf("the first run ended with %d", code)
			}
			log, end, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd := d.inShell(script, "--log-level", "debug")
			cmd.Stdout, cmd.Stderr = end, end
			// Whoever reads it leaves after the first word.
			go func() {
				_, _ = log.Read(make([]byte, 1))
				_ = log.Close()
			}()
			d.launchAs(cmd)
			_ = end.Close()
			env := d.create(wire.CreateRequest{Name: "a"})
			d.untilState(env.ID, "leased")
			d.bothy("down", "a").want(t, 0)
			if code := d.terminate(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestHangup: a terminal that is closed stops the daemon in order, and not one that was started with nohup.
func TestHangup(t *testing.T) {
	t.Parallel()
	// Tests that run under nohup ignore it, and a child would inherit that; what is caught is a child's default.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(caught) })
	d := startFake(t)
	hangUp := func() {
		t.Helper()
		if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	hangUp()
	select {
	case <-d.done:
	case <-time.After(patience):
		t.Fatalf("it did not stop\n%s", d.log)
	}
	if code := d.cmd.ProcessState.ExitCode(); code != 0 || !strings.Contains(d.log.String(), "bothyd stops") {
		t.Errorf("exit code %d (%s), want a stop in order", code, d.cmd.ProcessState)
	}
	cmd := d.inShell("trap '' HUP")
	cmd.Stdout, cmd.Stderr = d.log, d.log
	d.launchAs(cmd)
	hangUp()
	d.bothy("ls").want(t, 0)
	if code := d.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if n := strings.Count(d.log.String(), "bothyd stops"); n != 2 {
		t.Errorf("it stopped %d times, want 2: by the terminal, and by TERM", n)
	}
}
