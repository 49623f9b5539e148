package cmdutil_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
)

func TestWhatCannotBeUndoneIsConfirmed(t *testing.T) {
	for _, c := range []struct {
		name     string
		yes, tty bool
		answer   string
		code     int
		asked    bool
	}{
		{"said by a flag", true, false, "", cmdutil.ExitOK, false},
		{"nobody to ask", false, false, "y\n", cmdutil.ExitUsage, false},
		{"yes", false, true, "Yes\n", cmdutil.ExitOK, true},
		{"y, and no more", false, true, "y", cmdutil.ExitOK, true},
		{"no", false, true, "n\n", cmdutil.ExitFailed, true},
		{"nothing", false, true, "\n", cmdutil.ExitFailed, true},
		{"the end", false, true, "", cmdutil.ExitFailed, true},
		{"something else", false, true, "yesterday\n", cmdutil.ExitFailed, true},
	} {
		var out bytes.Buffer
		f := &cmdutil.Factory{IO: &iostreams.IO{In: strings.NewReader(c.answer), Err: &out, InTTY: c.tty}}
		err := f.Confirm(t.Context(), c.yes, "bothy x", "Really?")
		if got := cmdutil.ExitCode(err); got != c.code || strings.Contains(out.String(), "Really? [y/N]") != c.asked {
			t.Errorf("%s: %v (code %d), %q; want code %d, asked %v", c.name, err, got, out.String(), c.code, c.asked)
		}
	}
}

// A terminal that nobody types at blocks; a signal ends the question all the same, and is no answer.
func TestASignalEndsAQuestion(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cmdutil.Interrupted{Signal: syscall.SIGTERM})
	f := &cmdutil.Factory{IO: &iostreams.IO{In: r, Err: io.Discard, InTTY: true}}
	err := f.Confirm(ctx, false, "bothy x", "Really?")
	if got := cmdutil.ExitCode(err); got != 143 || cmdutil.ProblemOf(err).Code != cmdutil.CodeInterrupted || err.Error() != "Cancelled. Nothing was changed." {
		t.Errorf("%v (code %d), want: Cancelled. Nothing was changed., 143", err, got)
	}
}
