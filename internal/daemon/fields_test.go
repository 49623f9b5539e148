package daemon_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
)

// TestWrongRequestsNameTheirFields: an error about a value of a request says in a field which one that is.
func TestWrongRequestsNameTheirFields(t *testing.T) {
	b := setup(t)
	for field, req := range map[string]service.Request{
		"blueprint":  {Blueprint: "biuld"},
		"size":       {Size: "huge"},
		"name":       {Name: "Web"},
		"ttl":        {TTL: new(9 * time.Hour)},
		"idle":       {Idle: new(9 * time.Hour)},
		"inputs.nix": {Inputs: map[string]any{"nix": 1}},
	} {
		req.Who = ann
		_, acquired := b.engine.Acquire(t.Context(), req)
		_, quoted := b.engine.Quote(t.Context(), req)
		for _, err := range []error{acquired, quoted} {
			e, ok := errors.AsType[*fleet.Error](err)
			if !ok {
				t.Errorf("%s: got %v", field, err)
				continue
			}
			if diff := cmp.Diff([]fleet.Field{{Path: field, Message: e.Sentence}}, e.Fields); diff != "" {
				t.Errorf("%s (-want +got):\n%s", field, diff)
			}
		}
	}
	for _, req := range []service.Request{{TTL: new(time.Duration(0))}, {Name: "abcdefgh234567ab"}} {
		req.Who = ann
		_, err := b.engine.Acquire(t.Context(), req)
		if e, ok := errors.AsType[*fleet.Error](err); !ok || len(e.Fields) != 1 {
			t.Errorf("%+v: got %v, want one field", req, err)
		}
	}
}
