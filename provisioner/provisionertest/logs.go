package provisionertest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/provisioner"
)

var logObligations = []inside{
	{"lines come in order with time and stream", testLogLines},
	{"since and tail", testLogLimits},
	{"follow goes on until cancelled", testFollow},
	{"a writer's error ends it", testLogWriter},
}

// logs reads the log and leaves out what the image itself may have said.
func (e *environment) logs(t *testing.T, req provisioner.LogsRequest) []provisioner.LogLine {
	t.Helper()
	var all []provisioner.LogLine
	err := e.h.Runtime.Logs(within(t), e.handle.Sandbox.ID, req, func(l provisioner.LogLine) error {
		all = append(all, l)
		return nil
	})
	if err != nil {
		t.Fatalf("Logs: %v", err)
	}
	return slices.DeleteFunc(all, func(l provisioner.LogLine) bool { return !strings.HasPrefix(l.Text, "line ") })
}

// say prints a line and waits until the log shows it.
func (e *environment) say(t *testing.T, line string, stderr bool) {
	t.Helper()
	if err := e.h.Say(within(t), e.handle.Sandbox.ID, line, stderr); err != nil {
		t.Fatalf("Say: %v", err)
	}
	eventually(t, "the log shows "+line, func() bool {
		return slices.ContainsFunc(e.logs(t, provisioner.LogsRequest{}), func(l provisioner.LogLine) bool { return l.Text == line })
	})
}

func testLogLines(t *testing.T, e *environment) {
	e.say(t, "line 1 ünï", false)
	e.say(t, "line 2 $HOME", true)
	all := e.logs(t, provisioner.LogsRequest{})
	if len(all) != 2 {
		t.Fatalf("%d lines, want 2: %+v", len(all), all)
	}
	for i, want := range []provisioner.LogLine{{Text: "line 1 ünï"}, {Text: "line 2 $HOME", Stderr: true}} {
		if all[i].Text != want.Text || all[i].Stderr != want.Stderr || all[i].At.IsZero() {
			t.Errorf("line %d is %+v, want %+v and a time", i, all[i], want)
		}
	}
	if all[1].At.Before(all[0].At) {
		t.Errorf("times go back: %v, %v", all[0].At, all[1].At)
	}
}

func testLogLimits(t *testing.T, e *environment) {
	e.say(t, "line 3", false)
	all := e.logs(t, provisioner.LogsRequest{})
	last := all[len(all)-1]
	if got := e.logs(t, provisioner.LogsRequest{Since: last.At}); len(got) != 1 || got[0].Text != "line 3" {
		t.Errorf("since the last line's time: %+v, want that line", got)
	}
	if got := e.logs(t, provisioner.LogsRequest{Tail: 1}); len(got) != 1 || got[0].Text != "line 3" {
		t.Errorf("tail of 1: %+v, want the last line", got)
	}
}

func testFollow(t *testing.T, e *environment) {
	ctx, stop := context.WithCancel(within(t))
	defer stop()
	lines, done := make(chan string, 100), make(chan error, 1)
	go func() {
		done <- e.h.Runtime.Logs(ctx, e.handle.Sandbox.ID, provisioner.LogsRequest{Follow: true, Tail: 1}, func(l provisioner.LogLine) error {
			lines <- l.Text
			return nil
		})
	}()
	if got := receive(t, "a line of the followed log", lines); got != "line 3" {
		t.Errorf("the followed log begins with %q, want the last line", got)
	}
	if err := e.h.Say(ctx, e.handle.Sandbox.ID, "line 4", false); err != nil {
		t.Fatalf("Say: %v", err)
	}
	if got := receive(t, "a line of the followed log", lines); got != "line 4" {
		t.Errorf("the followed log goes on with %q, want line 4", got)
	}
	stop()
	wantClass(t, "Logs, cancelled", receive(t, "the end of the followed log", done), provisioner.Cancelled)
}

func testLogWriter(t *testing.T, e *environment) {
	full := errors.New("no more, please")
	err := e.h.Runtime.Logs(within(t), e.handle.Sandbox.ID, provisioner.LogsRequest{Follow: true}, func(provisioner.LogLine) error { return full })
	if !errors.Is(err, full) {
		t.Errorf("Logs with a writer that fails: %v, want its error", err)
	}
}
