package docker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
)

// talker is a sandbox that says something by itself and then waits for a file.
func talker(e *engine, script string) string {
	return e.sandbox(func(c *container.Config, _ *container.HostConfig) { c.Cmd = []string{"sh", "-c", script} })
}

func readLogs(t testing.TB, e *engine, id string, req provisioner.LogsRequest) []provisioner.LogLine {
	t.Helper()
	var lines []provisioner.LogLine
	err := e.Logs(t.Context(), id, req, func(l provisioner.LogLine) error { lines = append(lines, l); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// TestLogs: streams apart, in order, with times; since and tail.
func TestLogs(t *testing.T) {
	e := newEngine(t)
	id := talker(e, "echo one; sleep 0.1; echo two >&2; sleep 0.1; echo; printf 'no end'; sleep 1000")
	until(t, "the last line", func() bool { return len(readLogs(t, e, id, provisioner.LogsRequest{})) == 3 })
	lines := readLogs(t, e, id, provisioner.LogsRequest{})
	for i, want := range []struct {
		text   string
		stderr bool
	}{{"one", false}, {"two", true}, {"", false}} {
		if lines[i].Text != want.text || lines[i].Stderr != want.stderr || lines[i].At.IsZero() {
			t.Errorf("line %d: got %+v, want %+v", i, lines[i], want)
		}
	}
	wantEqual(t, "last two", len(readLogs(t, e, id, provisioner.LogsRequest{Tail: 2})), 2)
	since := readLogs(t, e, id, provisioner.LogsRequest{Since: lines[1].At})
	wantEqual(t, "from the second on", len(since), 2)
	wantEqual(t, "from later on", len(readLogs(t, e, id, provisioner.LogsRequest{Since: lines[2].At.Add(time.Nanosecond)})), 0)
}

// TestLogsLong: a line of any length comes whole, in parts of at most 16 KiB, without timestamps in between.
func TestLogsLong(t *testing.T) {
	e := newEngine(t)
	id := talker(e, `head -c 100000 /dev/zero | tr '\0' x; echo; echo end; sleep 1000`)
	var lines []provisioner.LogLine
	until(t, "the end", func() bool {
		lines = readLogs(t, e, id, provisioner.LogsRequest{})
		return len(lines) > 0 && lines[len(lines)-1].Text == "end"
	})
	var whole strings.Builder
	for _, l := range lines[:len(lines)-1] {
		if len(l.Text) > 16<<10 {
			t.Errorf("a part of %d bytes", len(l.Text))
		}
		whole.WriteString(l.Text)
	}
	if whole.String() != strings.Repeat("x", 100_000) {
		t.Errorf("got %d bytes, want 100000 x", whole.Len())
	}
}

// TestLogsFollow: lines come while they are made; following ends with the sandbox, the context or the writer.
func TestLogsFollow(t *testing.T) {
	e := newEngine(t)
	id := talker(e, "echo first; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo second")
	got := make(chan string, 10)
	done := make(chan error, 1)
	go func() {
		done <- e.Logs(t.Context(), id, provisioner.LogsRequest{Follow: true}, func(l provisioner.LogLine) error { got <- l.Text; return nil })
	}()
	wantEqual(t, "line", <-got, "first")

	ctx, cancel := context.WithCancel(t.Context())
	other := make(chan error, 1)
	go func() {
		other <- e.Logs(ctx, id, provisioner.LogsRequest{Follow: true}, func(provisioner.LogLine) error { cancel(); return nil })
	}()
	wantClass(t, <-other, provisioner.Cancelled)
	enough := errors.New("enough")
	if err := e.Logs(t.Context(), id, provisioner.LogsRequest{Follow: true}, func(provisioner.LogLine) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v, want the writer's own error", err)
	}

	e.run(id, "touch /tmp/go")
	wantEqual(t, "line", <-got, "second")
	if err := <-done; err != nil {
		t.Error(err)
	}
	wantClass(t, e.Logs(t.Context(), noSandbox, provisioner.LogsRequest{}, nil), provisioner.NotFound)
}

// TestLogsTerminal: a sandbox with a terminal has one stream, without frames.
func TestLogsTerminal(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox(func(c *container.Config, _ *container.HostConfig) {
		c.Cmd, c.Tty = []string{"sh", "-c", "echo a; echo b >&2; sleep 1000"}, true
	})
	until(t, "two lines", func() bool { return len(readLogs(t, e, id, provisioner.LogsRequest{})) == 2 })
	lines := readLogs(t, e, id, provisioner.LogsRequest{})
	wantEqual(t, "text", []string{lines[0].Text, lines[1].Text}, []string{"a", "b"})
}
