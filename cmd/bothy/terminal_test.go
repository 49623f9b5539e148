package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/cli/clitest"
)

func TestShellIsATerminalThatResizes(t *testing.T) {
	server := startServer(t)
	if err := server.Add("web", "leased"); err != nil {
		t.Fatal(err)
	}
	cmd := bothy(t, server, "shell", "web")
	typed, shown, check := terminal(t, cmd)
	start(t, cmd)
	// The markers are put together by the shell, so that the echo of what is typed is not taken for its answer.
	typeLine(t, typed, "echo size-$(stty size | tr ' ' x)\r")
	awaitText(t, shown, "size-30x100")
	if err := clitest.SetSize(typed, 41, 121); err != nil {
		t.Fatal(err)
	}
	typeLine(t, typed, "until test \"$(stty size)\" = '41 121'; do sleep 0.02; done; echo new-$(stty size | tr ' ' x)\r")
	awaitText(t, shown, "new-41x121")
	// Ctrl-C is a key here: it ends what runs inside, not the shell and not us.
	typeLine(t, typed, `sh -c 'trap "echo int-$((1+2)); exit" INT; echo busy-$((1+1)); while :; do sleep 0.02; done'`+"\r")
	awaitText(t, shown, "busy-2")
	typeLine(t, typed, "\x03")
	awaitText(t, shown, "int-3")
	typeLine(t, typed, "echo alive-$((2+2)) $TERM; exit 5\r")
	if code := finish(t, cmd); code != 5 {
		t.Errorf("exit code = %d, want the shell's own, 5", code)
	}
	awaitText(t, shown, "alive-4 xterm")
	check()
}

func TestTheTerminalIsRestoredWhenTheDaemonGoes(t *testing.T) {
	server := startServer(t)
	if err := server.Add("web", "leased"); err != nil {
		t.Fatal(err)
	}
	cmd := bothy(t, server, "exec", "-t", "-i", "web", "--", "sh", "-c", "echo up; sleep 60")
	_, shown, check := terminal(t, cmd)
	start(t, cmd)
	awaitText(t, shown, "up")
	server.CutOff()
	if code := finish(t, cmd); code != 5 {
		t.Errorf("exit code = %d, want 5; shown: %s", code, shown)
	}
	check()
}

func TestProgressMovesOnATerminalOnly(t *testing.T) {
	for _, c := range []struct {
		name, variable string
		moves          bool
	}{
		{"a terminal", "NO_COLOR=", true},
		{"NO_COLOR", "NO_COLOR=1", false},
		{"a dumb terminal", "TERM=dumb", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := startServer(t)
			cmd := bothy(t, server, "up", "--name", "web")
			cmd.Env = append(cmd.Env, c.variable)
			_, shown, check := terminal(t, cmd)
			start(t, cmd)
			if code := finish(t, cmd); code != 0 {
				t.Errorf("exit code = %d", code)
			}
			awaitText(t, shown, "at expiry")
			check()
			if got := strings.Contains(shown.String(), "\x1b"); got != c.moves {
				t.Errorf("escape sequences: %v, want %v, in %q", got, c.moves, shown)
			}
			if got := strings.Contains(shown.String(), "✓"); got != c.moves {
				t.Errorf("check marks: %v, want %v, in %q", got, c.moves, shown)
			}
		})
	}
}

func TestDownAllAsksOnATerminal(t *testing.T) {
	for answer, want := range map[string]string{"n\r": "Cancelled. Nothing was deleted.", "y\r": "Deleted web"} {
		t.Run(strings.TrimSpace(answer), func(t *testing.T) {
			server := startServer(t)
			if err := server.Add("web", "leased"); err != nil {
				t.Fatal(err)
			}
			cmd := bothy(t, server, "down", "--all")
			typed, shown, _ := terminal(t, cmd)
			start(t, cmd)
			awaitText(t, shown, "Delete 1 environment: web? [y/N]")
			typeLine(t, typed, answer)
			awaitText(t, shown, want)
			if code := finish(t, cmd); (code == 0) != (answer == "y\r") {
				t.Errorf("exit code = %d", code)
			}
		})
	}
}

// The first Ctrl-C ends a question, whatever is asked; nothing is done.
func TestInterruptingAQuestionEndsIt(t *testing.T) {
	for name, c := range map[string]struct {
		args  []string
		asked string
		want  string
	}{
		"down":   {[]string{"down", "--all"}, "Delete 1 environment: web? [y/N]", "Cancelled. Nothing was changed."},
		"brake":  {[]string{"brake", "release"}, "[y/N]", "Cancelled. Nothing was changed."},
		"secret": {[]string{"up", "--name", "other", "--secret", "npmrc=-"}, "Secret npmrc (not shown, end with Enter and Ctrl-D):", "Cancelled. Nothing was created."},
	} {
		t.Run(name, func(t *testing.T) {
			server := startServer(t)
			if err := server.Add("web", "leased"); err != nil {
				t.Fatal(err)
			}
			cmd := bothy(t, server, c.args...)
			typed, shown, check := terminal(t, cmd)
			start(t, cmd)
			awaitText(t, shown, c.asked)
			typeLine(t, typed, "\x03")
			if code := finish(t, cmd); code != 130 {
				t.Errorf("exit code = %d, want 130", code)
			}
			awaitText(t, shown, "\r\n\x1b[31mbothy:\x1b[0m "+c.want)
			check()
			var stdout buffer
			ls := bothy(t, server, "ls", "-q")
			ls.Stdout = &stdout
			start(t, ls)
			if code := finish(t, ls); code != 0 || stdout.String() != "web\n" {
				t.Errorf("ls gives code %d and %q, want web alone", code, &stdout)
			}
		})
	}
}

func TestASecretThatIsTypedIsNotShown(t *testing.T) {
	server := startServer(t)
	cmd := bothy(t, server, "up", "--name", "web", "--source", "none", "--secret", "npmrc=-")
	typed, shown, check := terminal(t, cmd)
	start(t, cmd)
	awaitText(t, shown, "Secret npmrc")
	typeLine(t, typed, "canary\r\x04")
	if code := finish(t, cmd); code != 0 {
		t.Errorf("exit code = %d", code)
	}
	awaitText(t, shown, "at expiry")
	check()
	if strings.Contains(shown.String(), "canary") {
		t.Errorf("the secret was shown: %q", shown)
	}
	if got, err := os.ReadFile(filepath.Join(filepath.Dir(server.Workspace("web")), "npmrc")); err != nil || string(got) != "canary\n" {
		t.Errorf("the secret is %q, %v", got, err)
	}
}
