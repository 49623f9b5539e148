package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestEveryMutationApplies: the table is in step with the code. A safeguard that was rewritten must not drop out of
// the proof unseen.
func TestEveryMutationApplies(t *testing.T) {
	t.Parallel()
	for _, m := range mutations {
		text, err := os.ReadFile(filepath.Join("..", "..", m.file))
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		if _, err := m.apply(text); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

func TestFirstFailureIsNamed(t *testing.T) {
	t.Parallel()
	const out = "--- FAIL: TestPostgres (1.00s)\n    --- FAIL: TestPostgres/Work (0.50s)\n        --- FAIL: TestPostgres/Work/fence (0.10s)\n"
	found := failedTest.FindAllStringSubmatch(out, -1)
	if len(found) != 3 || found[2][1] != "TestPostgres/Work/fence" {
		t.Errorf("found %q", found)
	}
}
