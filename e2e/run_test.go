package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRun: bothy run builds and tests projects that nobody prepared, in the real image, passes the exit code of a step that fails, and
// leaves nothing.
func TestRun(t *testing.T) {
	needsEngine(t)
	t.Parallel()
	d := start(t)
	c := filepath.Join(t.TempDir(), "c")
	if err := os.CopyFS(c, os.DirFS(filepath.Join("..", "modules", "build", "example"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(c, "bothy.yaml")); err != nil {
		t.Fatal(err)
	}
	golang := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(golang, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example.com/add\n\ngo 1.19\n")
	write("add.go", "package add\n\nfunc Add(a, b int) int { return a - b }\n")
	write("add_test.go", "package add\n\nimport \"testing\"\n\nfunc TestAdd(t *testing.T) {\n\tif Add(2, 2) != 4 {\n\t\tt.Error(\"2 + 2 is not 4\")\n\t}\n}\n")

	d.bothy("run", "--source", c).want(t, 0, "make project, by Makefile: build, test", "test passed in", "Deleting ")
	failed := d.bothy("run", "--source", golang, "--size", "medium").want(t, 1, "go project, by go.mod: build, vet, test", "2 + 2 is not 4", "test failed with exit code 1")
	write("add.go", "package add\n\nfunc Add(a, b int) int { return a + b }\n")
	var run struct {
		Environment string
		Steps       []struct{ Name, Outcome string }
	}
	passed := d.bothy("run", "--source", golang, "--size", "medium", "--output", "json").want(t, 0)
	if err := json.Unmarshal([]byte(passed.out), &run); err != nil {
		t.Fatal(err)
	}
	if len(run.Steps) != 3 || run.Steps[2].Outcome != "passed" || run.Environment == "" {
		t.Errorf("the run is %+v", run)
	}
	for line := range strings.Lines(failed.err) {
		if name, ok := strings.CutPrefix(line, "Deleting "); ok {
			d.untilState(strings.TrimSpace(name), "destroyed")
		}
	}
	d.untilState(run.Environment, "destroyed")
}
