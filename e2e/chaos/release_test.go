package chaos_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestAReleaseHoldsNoFailPoints: what ends the process or moves its clock is in the binary that is tested and
// in no other.
func TestAReleaseHoldsNoFailPoints(t *testing.T) {
	t.Parallel()
	release := filepath.Join(t.TempDir(), "bothyd")
	if err := build(release, ""); err != nil {
		t.Fatal(err)
	}
	for binary, want := range map[string]bool{release: false, filepath.Join(binDir, "bothyd"): true} {
		text, err := os.ReadFile(binary)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"CHAOS_KILLPOINTS", "CHAOS_CLOCK_OFFSET", "CHAOS_GOROUTINES"} {
			if got := bytes.Contains(text, []byte(name)); got != want {
				t.Errorf("%s: %q is there: %v, want %v", filepath.Base(filepath.Dir(binary)), name, got, want)
			}
		}
	}
}
