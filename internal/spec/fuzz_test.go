package spec_test

import (
	"errors"
	"testing"

	"github.com/bothy-env/bothy/internal/spec"
)

// Any input gets an answer: a spec that holds what it may, or errors with places inside the file.
func FuzzParse(f *testing.F) {
	for _, c := range corpus {
		f.Add([]byte(c.doc))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := spec.Parse("bothy.yaml", data)
		if err != nil {
			errs, ok := errors.AsType[spec.Errors](err)
			if !ok || len(errs) == 0 {
				t.Fatalf("the error is %T with %d entries", err, len(errs))
			}
			for _, e := range errs {
				if e.Line < 1 || e.Col < 1 || e.Found == "" || e.Want == "" {
					t.Fatalf("an error without place or sentence: %+v", e)
				}
			}
			return
		}
		if s.TTL < 0 || s.TTL > spec.MaxTTL || s.Source == "" || s.Source[0] == '/' {
			t.Fatalf("a spec that may not be: %+v", s)
		}
	})
}
