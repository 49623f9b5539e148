package client_test

import (
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
)

// TestExecRefusesWhatCannotArrive: a command line that is too long, or not UTF-8, is refused before anything is sent, with
// its place; one full of characters that HTML escapes counts as long as it is.
func TestExecRefusesWhatCannotArrive(t *testing.T) {
	c := connect(t, client.Options{Host: "unix://" + shortDir(t) + "/nobody-listens"})
	big := strings.Repeat("x", 100_000)
	many := func(n int) []string {
		command := []string{"true"}
		for range n {
			command = append(command, big)
		}
		return command
	}
	for name, tc := range map[string]struct {
		start wire.ExecStart
		say   string // "" for what is sent
	}{
		"12 of 100 kB":     {wire.ExecStart{Command: many(12)}, ""},
		"much HTML":        {wire.ExecStart{Command: append(many(37), strings.Repeat("<&>", 40_000))}, ""},
		"50 of 100 kB":     {wire.ExecStart{Command: many(50)}, "command line too long: 50"},
		"one argument":     {wire.ExecStart{Command: []string{"true", "a", strings.Repeat("x", 131072)}}, "argument 2 of the command is too long: 131072 bytes, limit 131071"},
		"one variable":     {wire.ExecStart{Command: []string{"true"}, Env: []string{"A=1", "B=" + strings.Repeat("x", 131072)}}, `variable "B" is too long: 131074 bytes`},
		"foreign argument": {wire.ExecStart{Command: []string{"cat", "caf\xe9"}}, "argument 1 of the command is not valid UTF-8"},
		"foreign variable": {wire.ExecStart{Command: []string{"cat"}, Env: []string{"A=caf\xe9"}}, `variable "A" is not valid UTF-8`},
		"foreign folder":   {wire.ExecStart{Command: []string{"cat"}, Dir: "/caf\xe9"}, "the directory (--workdir) is not valid UTF-8"},
		"foreign user":     {wire.ExecStart{Command: []string{"cat"}, User: "caf\xe9"}, "the user (--user) is not valid UTF-8"},
	} {
		_, err := c.Exec(t.Context(), "x", tc.start, client.ExecStreams{})
		if tc.say == "" {
			if client.CodeOf(err) == wire.CodeInvalid {
				t.Errorf("%s: refused: %v", name, err)
			}
			continue
		}
		if client.CodeOf(err) != wire.CodeInvalid || !strings.Contains(err.Error(), tc.say) {
			t.Errorf("%s: %v does not say %q", name, err, tc.say)
		}
	}
}
