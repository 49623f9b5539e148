package main

import (
	"errors"
	"os"
	"os/exec"
	ossignal "os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestInterruptingUpLosesNothing: the request goes on, what became of the source is said, and machines are told the name.
func TestInterruptingUpLosesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		want   string
		stdout string
	}{
		"no source": {[]string{"--source", "none"}, "Stopped waiting. The request for web continues.\nhint: bothy show web    shows its state\n  bothy down web    cancels the request\n", ""},
		"a source": {[]string{"--source", "."}, "Stopped waiting. The request for web continues. The source was not copied.\nhint: bothy show web    shows its state\n" +
			"  bothy down web    cancels the request\n  bothy cp DIR/. web:    copies the source when web is ready\n", ""},
		"for machines": {[]string{"--source", ".", "-o", "json"}, `"detail":"Stopped waiting. The request for web continues. The source was not copied."`, `"name": "web"`},
	} {
		t.Run(name, func(t *testing.T) {
			server := startServer(t)
			server.Fate("stuck")
			cmd := bothy(t, server, append([]string{"up", "--name", "web"}, c.args...)...)
			var stdout, stderr buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			start(t, cmd)
			if err := until(func() bool { return server.Watched("web") }); err != nil {
				t.Fatalf("await that up waits: %v; stderr:\n%s", err, &stderr)
			}
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			if code := finish(t, cmd); code != 130 {
				t.Errorf("exit code = %d, want 130", code)
			}
			if want := strings.ReplaceAll(c.want, "DIR", cmd.Dir); !strings.Contains(stderr.String(), want) {
				t.Errorf("stderr = %q, want %q in it", &stderr, want)
			}
			if got := stdout.String(); !strings.Contains(got, c.stdout) || c.stdout == "" && got != "" {
				t.Errorf("stdout = %q, want %q", got, c.stdout)
			}
			// It goes on indeed.
			if err := server.Finish("web"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestInterruptingUpBeforeItIsAnsweredSaysHowToDropIt(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"up", "--name", "web"}, "bothy ls    lists web if so\n  bothy down web    deletes it\n"},
		{[]string{"up"}, "bothy ls    lists the environment and its name if so\n  bothy down NAME    deletes it\n"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			server := startServer(t)
			server.Fate("unanswered")
			cmd := bothy(t, server, c.args...)
			var stdout, stderr buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			start(t, cmd)
			awaitText(t, &stderr, "Requesting environment")
			interrupt(t, cmd)
			if code := finish(t, cmd); code != 130 {
				t.Errorf("exit code = %d, want 130", code)
			}
			if want := "bothy: Interrupted. The daemon may or may not have accepted the request.\nhint: " + c.want; !strings.HasSuffix(stderr.String(), want) {
				t.Errorf("stderr = %q, want %q at its end", &stderr, want)
			}
			if stdout.String() != "" {
				t.Errorf("stdout = %q, want nothing", &stdout)
			}
		})
	}
}

// The environment stands; the command that is told must be one that a shell takes as it is.
func TestInterruptingTheCopyOfTheSourceSaysHowToGoOnOrDropIt(t *testing.T) {
	for _, c := range []struct {
		name    string
		git     bool
		differs string
	}{
		{"a plain folder", false, ""},
		{"a repository", true, " (including .git and ignored files)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := startServer(t)
			server.HoldUploads()
			cmd := bothy(t, server, "up", "--name", "web", "--source", "it's here")
			source := filepath.Join(cmd.Dir, "it's here")
			if err := errors.Join(os.Mkdir(source, 0o700), os.WriteFile(filepath.Join(source, "file"), []byte("content"), 0o600)); err != nil {
				t.Fatal(err)
			}
			if c.git {
				if out, err := exec.CommandContext(t.Context(), "git", "-C", source, "init", "-q").CombinedOutput(); err != nil {
					t.Skipf("git init: %v: %s", err, out)
				}
			}
			var stdout, stderr buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			start(t, cmd)
			awaitText(t, &stderr, "Copying source")
			interrupt(t, cmd)
			if code := finish(t, cmd); code != 130 {
				t.Errorf("exit code = %d, want 130", code)
			}
			want := "bothy: Interrupted the copy of the source. web is ready, with the source copied in part or not at all.\n" +
				"hint: bothy cp '" + strings.ReplaceAll(source, "'", `'\''`) + "/.' web:    copies the source again" + c.differs + "\n" +
				"  bothy down web    deletes the environment\n"
			if !strings.HasSuffix(stderr.String(), want) {
				t.Errorf("stderr = %q, want %q at its end", &stderr, want)
			}
			if stdout.String() != "" {
				t.Errorf("stdout = %q, want nothing", &stdout)
			}
		})
	}
}

func interrupt(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
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
	if want := "Stopped waiting. The deletion continues."; strings.Count(stderr.String(), want) != 1 {
		t.Errorf("stderr = %q, want %q in it once", &stderr, want)
	}
}

func TestExecPassesSignalsOn(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT} {
		t.Run(name, func(t *testing.T) {
			// What is started here must not inherit that a signal is ignored, as under nohup: a shell cannot trap such.
			caught := make(chan os.Signal, 1)
			ossignal.Notify(caught, signal)
			defer ossignal.Stop(caught)
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
