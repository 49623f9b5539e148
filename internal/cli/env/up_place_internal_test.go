package env

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/spec"
)

const placedSpec = `version: 1
name: web
blueprint: build
size: huge
ttl: 9h
idle: 8h
params:
  shm_mib: 1025
  note: x
`

func wantedOf(t *testing.T, opts UpOptions) wanted {
	t.Helper()
	s, err := spec.Parse("dir/bothy.yaml", []byte(placedSpec))
	if err != nil {
		t.Fatal(err)
	}
	r := wire.CreateRequest{Name: s.Name, Blueprint: s.Blueprint, Size: s.Size, Inputs: s.Params}
	return wanted{request: r, places: opts.places(s, r)}
}

func placeAt(line, column int, path string) *wire.FilePlace {
	return &wire.FilePlace{File: "dir/bothy.yaml", Line: line, Column: column, Path: path}
}

// TestAWrongValueIsTracedToItsPlace: whatever words the daemon uses, in whatever order, what it is about is found by its field.
func TestAWrongValueIsTracedToItsPlace(t *testing.T) {
	for name, c := range map[string]struct {
		opts     UpOptions
		sentence string
		fields   []wire.ProblemField
		want     string
		places   []*wire.FilePlace
	}{
		"name":      {fields: []wire.ProblemField{{Field: "name", Message: "nada"}}, want: "dir/bothy.yaml:2:7: nada", places: []*wire.FilePlace{placeAt(2, 7, "name")}},
		"blueprint": {fields: []wire.ProblemField{{Field: "blueprint", Message: "nada"}}, want: "dir/bothy.yaml:3:12: nada", places: []*wire.FilePlace{placeAt(3, 12, "blueprint")}},
		"size":      {fields: []wire.ProblemField{{Field: "size", Message: "nada"}}, want: "dir/bothy.yaml:4:7: nada", places: []*wire.FilePlace{placeAt(4, 7, "size")}},
		"ttl":       {fields: []wire.ProblemField{{Field: "ttl_seconds", Message: "nada"}}, want: "dir/bothy.yaml:5:6: nada", places: []*wire.FilePlace{placeAt(5, 6, "ttl")}},
		"idle":      {fields: []wire.ProblemField{{Field: "idle_seconds", Message: "nada"}}, want: "dir/bothy.yaml:6:7: nada", places: []*wire.FilePlace{placeAt(6, 7, "idle")}},
		"by a flag": {opts: UpOptions{TTL: "9h"}, sentence: "ttl 9h is long", fields: []wire.ProblemField{{Field: "ttl_seconds", Message: "ttl 9h is long"}}, want: "ttl 9h is long", places: []*wire.FilePlace{nil}},
		"two inputs": {
			fields: []wire.ProblemField{{Field: "inputs.note", Message: "one; with a semicolon"}, {Field: "inputs.shm_mib", Message: "two"}, {Message: "and 7 more"}},
			want:   "dir/bothy.yaml:9:9: one; with a semicolon; dir/bothy.yaml:8:12: two; and 7 more",
			places: []*wire.FilePlace{placeAt(9, 9, "params.note"), placeAt(8, 12, "params.shm_mib"), nil},
		},
		"one input by a flag": {
			opts:   UpOptions{Params: []string{"shm_mib=1025"}},
			fields: []wire.ProblemField{{Field: "inputs.note", Message: "one"}, {Field: "inputs.shm_mib", Message: "two"}},
			want:   "dir/bothy.yaml:9:9: one; two", places: []*wire.FilePlace{placeAt(9, 9, "params.note"), nil},
		},
		// The words of one are no reason to blame it.
		"only words":          {sentence: "ttl 9h is above the maximum", want: "ttl 9h is above the maximum"},
		"the words of others": {fields: []wire.ProblemField{{Field: "size", Message: `input note: got "x"`}}, want: `dir/bothy.yaml:4:7: input note: got "x"`, places: []*wire.FilePlace{placeAt(4, 7, "size")}},
	} {
		t.Run(name, func(t *testing.T) {
			err := wantedOf(t, c.opts).blame(&client.Error{Code: wire.CodeInvalid, Sentence: c.sentence, Hint: "h", Fields: c.fields})
			e, ok := errors.AsType[*client.Error](err)
			if !ok || e.Sentence != c.want || e.Code != wire.CodeInvalid || e.Hint != "h" {
				t.Errorf("got %+v, want the sentence %q", err, c.want)
			}
			var places []*wire.FilePlace
			for i, f := range e.Fields {
				places = append(places, f.Place)
				if f.Message != c.fields[i].Message || f.Field != c.fields[i].Field {
					t.Errorf("field %d is %+v, want that of the daemon with its place", i, f)
				}
			}
			if diff := cmp.Diff(c.places, places); diff != "" {
				t.Errorf("places (-want +got):\n%s", diff)
			}
			for _, f := range c.fields {
				if f.Place != nil {
					t.Error("the daemon's own list was changed")
				}
			}
		})
	}
	plain := errors.New("plain")
	if err := wantedOf(t, UpOptions{}).blame(plain); !errors.Is(err, plain) {
		t.Errorf("another error becomes %v", err)
	}
}
