package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/engine"
	"github.com/bothy-env/bothy/provisioner/docker"
)

type isolation struct{ err error }

func (i isolation) Isolation(context.Context) error { return i.err }

// TestIsolationCheck: where isolation is asked for and cannot be had, nothing can be made; where it is off, that is meant.
func TestIsolationCheck(t *testing.T) {
	for name, c := range map[string]struct {
		err          error
		status, hint string
		not          string
	}{
		"enforced":   {nil, engine.OK, "", "network"},
		"off":        {docker.ErrIsolationOff, engine.Warning, "network.isolation to enforce", "to off"},
		"impossible": {errors.New("no rights"), engine.Down, "network.isolation to off", "to enforce"},
	} {
		got := isolationCheck(isolation{c.err})(t.Context())
		if got.Status != c.status || !strings.Contains(got.Hint, c.hint) || strings.Contains(got.Hint, c.not) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
