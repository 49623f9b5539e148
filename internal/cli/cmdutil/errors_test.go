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
	if want := "bothy: two lines\n  of text\n  body.size: got 100\nnext: do this\n"; b.String() != want {
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
