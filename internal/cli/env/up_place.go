package env

import (
	"errors"
	"slices"
	"strings"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/client"
	bothyspec "github.com/bothy-env/bothy/internal/spec"
)

// places returns the places in the spec of the values of r that no flag overrides, by key path in the request.
func (opts *UpOptions) places(s bothyspec.Spec, r wire.CreateRequest) map[string]wire.FilePlace {
	all := map[string]wire.FilePlace{}
	note := func(field, path string) {
		if at, ok := s.Place(path); ok {
			all[field] = wire.FilePlace{File: at.File, Line: at.Line, Column: at.Col, Path: path}
		}
	}
	if opts.Name == "" {
		note("name", "name")
	}
	if opts.Blueprint == "" {
		note("blueprint", "blueprint")
	}
	if opts.TTL == "" {
		note("ttl_seconds", "ttl")
	}
	if opts.Idle == "" {
		note("idle_seconds", "idle")
	}
	if opts.Size == "" && r.Size != "" {
		note("size", "size")
	}
	for name := range r.Inputs {
		// Compare flags, not values: a flag may set the same value as the spec.
		if !opts.givesParam(name) {
			note("inputs."+name, "params."+name)
		}
	}
	return all
}

// givesParam reports whether a flag sets the input.
func (opts *UpOptions) givesParam(name string) bool {
	for _, p := range opts.Params {
		if key, _, _ := strings.Cut(p, "="); key == name {
			return true
		}
	}
	return false
}

// blame adds the place in the spec to the daemon's error about a value.
func (w wanted) blame(err error) error {
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		return err
	}
	told := *e
	told.Sentence, told.Fields = w.locate(e.Sentence, e.Fields)
	told.Err = err
	return &told
}

// locate is blame for a sentence and its fields. It returns the sentence unchanged if no field has a place.
func (w wanted) locate(sentence string, fields []wire.ProblemField) (string, []wire.ProblemField) {
	located, parts, found := slices.Clone(fields), make([]string, len(fields)), false
	for i, f := range fields {
		parts[i] = f.Message
		if at, ok := w.places[f.Field]; ok {
			located[i].Place, found = &at, true
			parts[i] = cmdutil.Place(at) + ": " + f.Message
		}
	}
	if !found {
		return sentence, fields
	}
	return strings.Join(parts, "; "), located
}
