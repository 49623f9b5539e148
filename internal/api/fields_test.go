package api_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
)

// TestWrongValuesAreNamed: which values of a request an error is about is told beside its sentence, by their key path in the body.
func TestWrongValuesAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		err  *fleet.Error
		want []wire.ProblemField
	}{
		"ttl":      {fleet.Errorf(fleet.CodePolicy, "too long").About("ttl"), []wire.ProblemField{{Field: "ttl_seconds", Message: "too long"}}},
		"idle":     {fleet.Errorf(fleet.CodeInvalid, "too long").About("idle"), []wire.ProblemField{{Field: "idle_seconds", Message: "too long"}}},
		"size":     {fleet.Errorf(fleet.CodeInvalid, "no such").About("size"), []wire.ProblemField{{Field: "size", Message: "no such"}}},
		"no field": {fleet.Errorf(fleet.CodeConflict, "not now"), nil},
		"several": {
			&fleet.Error{Code: fleet.CodeInvalid, Sentence: "a; and 1 more", Fields: []fleet.Field{{Path: "inputs.x", Message: "a"}, {Message: "and 1 more"}}},
			[]wire.ProblemField{{Field: "inputs.x", Message: "a"}, {Message: "and 1 more"}},
		},
		"a long name": {
			fleet.Errorf(fleet.CodeInvalid, "no such").About("inputs." + strings.Repeat("x", 5000)),
			[]wire.ProblemField{{Field: "inputs." + strings.Repeat("x", 93) + "...", Message: "no such"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDouble()
			d.fail = c.err
			cl := start(t, d).client()
			_, _, err := cl.Create(limited(t), wire.CreateRequest{}, "")
			e, ok := errors.AsType[*client.Error](err)
			if !ok || e.Sentence != c.err.Sentence {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(c.want, e.Fields); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.want, e.Problem().Fields); diff != "" {
				t.Errorf("fields as they are printed (-want +got):\n%s", diff)
			}
			d.fail, d.quote = nil, &service.Quote{Refusal: c.err}
			q, err := cl.Quote(limited(t), wire.CreateRequest{})
			if err != nil || q.Refusal == nil {
				t.Fatalf("quote %+v, %v", q, err)
			}
			if diff := cmp.Diff(c.want, q.Refusal.Fields); diff != "" {
				t.Errorf("fields of a refusal (-want +got):\n%s", diff)
			}
		})
	}
}
