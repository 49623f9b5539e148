package main

import (
	"strings"
	"syscall"
	"testing"
)

func TestInterruptingUpLosesNothing(t *testing.T) {
	server := startServer(t)
	server.Fate("stuck")
	cmd := bothy(t, server, "up", "--name", "web")
	var stdout, stderr buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start(t, cmd)
	awaitText(t, &stderr, "creating")
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := finish(t, cmd); code != 130 {
		t.Errorf("exit code = %d, want 130", code)
	}
	if want := "The request goes on: see it with bothy show web; to drop it: bothy down web"; !strings.Contains(stderr.String(), want) {
		t.Errorf("stderr = %q, want %q in it", &stderr, want)
	}
	if stdout.String() != "" {
		t.Errorf("stdout = %q, want nothing", &stdout)
	}
	// It goes on indeed.
	if err := server.Finish("web"); err != nil {
		t.Error(err)
	}
}

func TestInterruptingDownSaysThatItGoesOn(t *testing.T) {
	server := startServer(t)
	server.Fate("stuck")
	for _, name := range []string{"web", "db"} {
		if err := server.Add(name, "leased"); err != nil {
			t.Fatal(err)
		}
	}
	cmd := bothy(t, server, "down", "web", "db")
	var stderr buffer
	cmd.Stderr = &stderr
	start(t, cmd)
	awaitText(t, &stderr, "given back")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := finish(t, cmd); code != 143 {
		t.Errorf("exit code = %d, want 143", code)
	}
	if want := "They go all the same"; strings.Count(stderr.String(), want) != 1 {
		t.Errorf("stderr = %q, want %q in it once", &stderr, want)
	}
}

func TestExecPassesSignalsOn(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT} {
		t.Run(name, func(t *testing.T) {
			server := startServer(t)
			if err := server.Add("web", "leased"); err != nil {
				t.Fatal(err)
			}
			cmd := bothy(t, server, "exec", "web", "--", "sh", "-c", `trap "echo got `+name+`; exit 9" `+name+`; echo up; while :; do sleep 0.02; done`)
			var stdout buffer
			cmd.Stdout = &stdout
			start(t, cmd)
			awaitText(t, &stdout, "up")
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if code := finish(t, cmd); code != 9 {
				t.Errorf("exit code = %d, want the command's own, 9", code)
			}
			if want := "up\ngot " + name + "\n"; stdout.String() != want {
				t.Errorf("stdout = %q, want %q", &stdout, want)
			}
		})
	}
}

func TestASecondInterruptEndsExec(t *testing.T) {
	server := startServer(t)
	if err := server.Add("web", "leased"); err != nil {
		t.Fatal(err)
	}
	cmd := bothy(t, server, "exec", "web", "--", "bash", "-c", `trap "echo ignored" INT; echo up; while :; do sleep 0.02; done`)
	var stdout buffer
	cmd.Stdout = &stdout
	start(t, cmd)
	for _, text := range []string{"up", "ignored"} {
		awaitText(t, &stdout, text)
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	if code := finish(t, cmd); code != 130 {
		t.Errorf("exit code = %d, want 130", code)
	}
}

func TestInterruptingLogsEndsThem(t *testing.T) {
	server := startServer(t)
	server.Fate("stuck")
	cmd := bothy(t, server, "up", "--name", "web", "--detach", "--source", "none")
	start(t, cmd)
	if code := finish(t, cmd); code != 0 {
		t.Fatalf("exit code of up = %d", code)
	}
	cmd = bothy(t, server, "logs", "-f", "web")
	var stdout, stderr buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start(t, cmd)
	awaitText(t, &stdout, "asked for")
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := finish(t, cmd); code != 130 || stderr.String() != "" {
		t.Errorf("exit code = %d, stderr = %q, want 130 and nothing", code, &stderr)
	}
}
