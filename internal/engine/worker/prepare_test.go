package worker

import (
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

// TestCostlyBlueprintIsTriedSeldom: what nobody waits for takes 5 % of a core at most, however long its tries take.
func TestCostlyBlueprintIsTriedSeldom(t *testing.T) {
	fault := provisioner.Errorf(provisioner.Permanent, "prepare blueprint", "no")
	away := &provisioner.Error{Class: provisioner.Transient, Op: "prepare blueprint", Unavailable: true}
	for name, c := range map[string]struct {
		p       preparation
		awaited bool
		want    time.Duration
	}{
		"the first fault":                 {preparation{err: fault, failed: 1}, false, 2 * time.Second},
		"a fault for long":                {preparation{err: fault, failed: 30}, false, 10 * time.Minute},
		"away for long":                   {preparation{err: away, failed: 30}, false, 30 * time.Second},
		"a costly fault":                  {preparation{err: fault, failed: 1, took: 2 * time.Minute}, false, 40 * time.Minute},
		"costly and away":                 {preparation{err: away, failed: 1, took: 9 * time.Second}, false, 3 * time.Minute},
		"costly and away, but waited for": {preparation{err: away, failed: 30, took: time.Minute}, true, 30 * time.Second},
	} {
		if got := untilPrepared(c.p, c.awaited); got != c.want {
			t.Errorf("%s: tried again after %s, want %s", name, got, c.want)
		}
	}
}
