package env

import (
	"bytes"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
)

// TestTellEnded: each cause has words of its own, with the next step where there is one, and a cause that is not known none.
func TestTellEnded(t *testing.T) {
	for cause, want := range map[string][]string{
		wire.EndedOutOfMemory: {"web ran out of memory", "killed 2 processes", "small has 1024 MiB", "hint: bothy up --size medium"},
		wire.EndedProcesses:   {"web reached its process limit", "small has 512 processes", "hint: bothy exec web -- ps"},
		wire.EndedExpired:     {"the lease of web expired", "hint: bothy up --ttl"},
		wire.EndedReleased:    {"bob deleted environment web"},
		wire.EndedStopped:     {"the sandbox of web stopped", "hint: bothy why web"},
		wire.EndedKilled:      {"killed (signal KILL)", "web"},
		"of tomorrow":         nil,
	} {
		var said bytes.Buffer
		tellEnded(&cmdutil.Factory{IO: &iostreams.IO{Err: &said}}, "web",
			wire.ExecEnded{Cause: cause, By: "bob", Processes: 2, Size: "small", MemoryMiB: 1024, Pids: 512, Larger: "medium"})
		for _, words := range want {
			if !strings.Contains(said.String(), words) {
				t.Errorf("%s: %q does not say %q", cause, &said, words)
			}
		}
		if want == nil && said.Len() > 0 {
			t.Errorf("%s: said %q", cause, &said)
		}
	}
}

// TestTellStopped: only what is not sure is said.
func TestTellStopped(t *testing.T) {
	for name, c := range map[string]struct {
		said *wire.ExecResult
		want string
	}{
		"ended":   {&wire.ExecResult{}, ""},
		"may run": {&wire.ExecResult{MayRun: true}, "the command in web may still run"},
		"no word": {nil, "may still run: the daemon did not confirm its end"},
	} {
		var said bytes.Buffer
		tellStopped(&cmdutil.Factory{IO: &iostreams.IO{Err: &said}}, "web", c.said)
		if !strings.Contains(said.String(), c.want) || c.want == "" && said.Len() > 0 {
			t.Errorf("%s: said %q, want %q", name, &said, c.want)
		}
	}
}
