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

// places tells where in the spec the values of r stand that s said and no flag did, by their key path in the request.
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
		// What a flag gives may be the same text: the flags are asked, not the value.
		if !opts.givesParam(name) {
			note("inputs."+name, "params."+name)
		}
	}
	return all
}

// givesParam reports whether a flag gives the input.
func (opts *UpOptions) givesParam(name string) bool {
	for _, p := range opts.Params {
		if key, _, _ := strings.Cut(p, "="); key == name {
			return true
		}
	}
	return false
}

// blame puts before what the daemon says of a value where in the spec that stands.
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

// locate is blame for a sentence and the fields that it is about. Without a place of one of them the sentence stays as it is.
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
