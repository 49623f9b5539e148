package worker

import (
	"errors"
	"fmt"
	"testing"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// TestDatabaseAwayIsNobodysFailure: a create that is cut off by a database that is away is tried again, however often. It once
// failed the request, and three of them held a pool.
func TestDatabaseAwayIsNobodysFailure(t *testing.T) {
	away := fleet.Errorf(fleet.CodeUnavailable, "save state: connection refused")
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"the store is away":            {away, true},
		"wrapped":                      {fmt.Errorf("save state: %w", away), true},
		"it refuses":                   {fleet.Errorf(fleet.CodeConflict, "fenced"), false},
		"without a code":               {errors.New("a bug"), false},
		"the engine says no":           {provisioner.Errorf(provisioner.Permanent, "apply", "no such image"), false},
		"the engine, after the store":  {provisioner.Errorf(provisioner.Permanent, "apply", "no: %w", away), false},
		"the engine is away by itself": {&provisioner.Error{Class: provisioner.Transient, Unavailable: true}, true},
	} {
		err := storeAway(tc.err)
		if got := provisioner.IsUnavailable(err) && provisioner.Is(err, provisioner.Transient); got != tc.want {
			t.Errorf("%s: away %v, want %v", name, got, tc.want)
		}
		if !errors.Is(err, tc.err) {
			t.Errorf("%s: the cause is lost: %v", name, err)
		}
	}
}
