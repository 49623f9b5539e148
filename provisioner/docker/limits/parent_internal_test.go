package limits

import (
	"testing"

	"github.com/docker/docker/api/types/system"
)

// TestParentName: each driver of control groups has its own form; a dash in a slice's name would be a slice in a slice.
func TestParentName(t *testing.T) {
	for driver, want := range map[string]string{"cgroupfs": "/bothy-a1-b2", "systemd": "bothy_a1_b2.slice", "": "/bothy-a1-b2"} {
		if got := parentName("a1-b2", system.Info{CgroupDriver: driver}); got != want {
			t.Errorf("driver %q: got %s, want %s", driver, got, want)
		}
	}
}
