package fleet_test

import (
	"testing"

	"github.com/bothy-env/bothy/internal/fleet"
)

// TestLargerThan: the next size is the one with the least memory above, in whatever order they are.
func TestLargerThan(t *testing.T) {
	bp := fleet.Blueprint{Sizes: []fleet.Size{{Name: "l", MemoryMiB: 4096}, {Name: "s", MemoryMiB: 1024}, {Name: "cpu", MemoryMiB: 1024}, {Name: "m", MemoryMiB: 2048}}}
	for name, want := range map[string]string{"s": "m", "cpu": "m", "m": "l", "l": ""} {
		size, _ := bp.SizeNamed(name)
		if got, ok := bp.LargerThan(size); got.Name != want || ok != (want != "") {
			t.Errorf("above %s: got %q, %v; want %q", name, got.Name, ok, want)
		}
	}
}
