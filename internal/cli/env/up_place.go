package env

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	bothyspec "github.com/bothy-env/bothy/internal/spec"
)

// placed is a value of the spec: where it stands, and how what the daemon says of it when it is wrong begins and ends.
type placed struct{ at, begins, ends string }

// places lists the values of r that s said and no flag did.
func (opts *UpOptions) places(s bothyspec.Spec, r wire.CreateRequest) []placed {
	var all []placed
	note := func(path, begins, ends string) {
		if at := s.Place(path); at != "" {
			all = append(all, placed{at, begins, ends})
		}
	}
	if opts.Name == "" {
		note("name", fmt.Sprintf("name %q ", s.Name), "")
	}
	if opts.Blueprint == "" {
		note("blueprint", fmt.Sprintf("there is no blueprint %q", s.Blueprint), "")
	}
	if opts.TTL == "" {
		note("ttl", "ttl ", "")
	}
	if opts.Idle == "" {
		note("idle", "idle timeout ", "")
	}
	if opts.Size == "" && r.Size != "" {
		note("size", "blueprint ", fmt.Sprintf(" has no size %q", s.Size))
	}
	for name := range r.Inputs {
		// What a flag gives may be the same text: the flags are asked, not the value.
		if !opts.givesParam(name) {
			note("params."+name, fmt.Sprintf("input %s: ", name), "")
			note("params."+name, fmt.Sprintf("input %q: ", name), "")
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

// blame puts before what the daemon says of a value where in the spec that stands. Words that it does not know again cost
// the place and nothing else.
func (w wanted) blame(err error) error {
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		return err
	}
	told := *e
	told.Sentence, told.Err = w.placeIn(e.Sentence), err
	return &told
}

// placeIn is blame for a sentence.
func (w wanted) placeIn(sentence string) string {
	parts := strings.Split(sentence, "; ") // several inputs are told in one sentence
	for i, part := range parts {
		for _, p := range w.places {
			if strings.HasPrefix(part, p.begins) && strings.HasSuffix(part, p.ends) {
				parts[i] = p.at + ": " + part
				break
			}
		}
	}
	return strings.Join(parts, "; ")
}
