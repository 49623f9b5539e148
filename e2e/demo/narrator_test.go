package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mute gives a narrator as in a pipe, with what it prints and logs.
func mute() (n *narrator, out, log *bytes.Buffer) {
	out, log = new(bytes.Buffer), new(bytes.Buffer)
	return &narrator{out: out, log: log, began: time.Now()}, out, log
}

func TestEveryLineHasTheTimeAndNoEscapesInAPipe(t *testing.T) {
	n, out, log := mute()
	n.Say("said %d", 1)
	n.Command("bothy ls")
	n.Output("\x1b[31mred")
	n.Status("never shown here")
	n.Good("well")
	n.Bad("ill")
	n.Log("for the log alone")
	want := regexp.MustCompile(`^ +\d+\.\ds  said 1\n +\d+\.\ds  \$ bothy ls\n +\d+\.\ds    \[31mred\n +\d+\.\ds  well\n +\d+\.\ds  ill\n$`)
	if !want.MatchString(out.String()) {
		t.Errorf("printed:\n%s\nwant it to match %s", out, want)
	}
	if got := strings.Count(log.String(), "\n"); got != 6 || !strings.Contains(log.String(), "for the log alone") {
		t.Errorf("log has %d lines, want 6:\n%s", got, log)
	}
}

func TestAStatusIsReplacedAndNeverLogged(t *testing.T) {
	n, out, log := mute()
	n.live, n.colour = true, true
	n.Status("one")
	n.Status("two")
	n.Say("said")
	if got := strings.Count(out.String(), "\r\x1b[K"); got != 2 {
		t.Errorf("%d lines were cleared, want 2: %q", got, out)
	}
	if !strings.HasSuffix(out.String(), "\r\x1b[K    0.0s  said\n") {
		t.Errorf("the last line is not clean: %q", out)
	}
	n.Good("well")
	if !strings.Contains(out.String(), green+"well"+plain) {
		t.Errorf("no colour on a terminal: %q", out)
	}
	if strings.Contains(log.String(), "one") || strings.Contains(log.String(), "\x1b") {
		t.Errorf("the log has what is for terminals: %q", log)
	}
}

func TestFilesAndPipesAreNoTerminals(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, f := range []*os.File{file, null} {
		if n := newNarrator(f); n.colour || n.live {
			t.Errorf("%s is taken for a terminal", f.Name())
		}
	}
}

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errPromise, 1},
		{interrupted{syscall.SIGINT}, 130},
		{interrupted{syscall.SIGTERM}, 143},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("exitCode(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}
