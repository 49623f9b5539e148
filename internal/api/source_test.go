package api_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/fleet"
)

// Whoever asks about one environment is told whether anything was copied to its workspace.
func TestWhetherSourceWasCopiedIsTold(t *testing.T) {
	d := newDouble().add(leased("otter"))
	r := start(t, d)
	at := noon
	for name, c := range map[string]struct {
		is   fleet.Source
		want *wire.Source
	}{
		"not known": {fleet.Source{}, nil},
		"none":      {fleet.Source{State: fleet.SourceNone}, &wire.Source{State: wire.SourceNone}},
		"copied":    {fleet.Source{State: fleet.SourceCopied, By: "ada", At: noon}, &wire.Source{State: wire.SourceCopied, By: "ada", At: &at}},
	} {
		d.source = c.is
		env, err := r.client().Get(limited(t), "otter")
		if diff := cmp.Diff(c.want, env.Source); diff != "" || err != nil {
			t.Errorf("%s, show: %v (-want +got):\n%s", name, err, diff)
		}
		why, err := r.client().Why(limited(t), "otter")
		if diff := cmp.Diff(c.want, why.Environment.Source); diff != "" || err != nil {
			t.Errorf("%s, why: %v (-want +got):\n%s", name, err, diff)
		}
	}
}
