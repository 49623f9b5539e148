package env

import (
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
)

// An environment without source says so, with the command that copies it.
func TestShowTellsOfTheSource(t *testing.T) {
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.Local)
	f := &cmdutil.Factory{IO: &iostreams.IO{}, Now: func() time.Time { return at }}
	for name, c := range map[string]struct {
		state  string
		source *wire.Source
		want   string
	}{
		"not known":       {"leased", nil, ""},
		"none":            {"leased", &wire.Source{State: wire.SourceNone}, "not copied. To copy this directory: bothy cp ./. web:"},
		"none, and gone":  {"destroyed", &wire.Source{State: wire.SourceNone}, "not copied"},
		"copied":          {"leased", &wire.Source{State: wire.SourceCopied, By: "ada", At: &at}, "copied by ada, 12:00:00"},
		"a newer daemon":  {"leased", &wire.Source{State: "elsewhere"}, ""},
		"copied, no time": {"leased", &wire.Source{State: wire.SourceCopied}, ""},
	} {
		if got := sourceOf(f, wire.Environment{Name: "web", State: c.state, Source: c.source}); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
