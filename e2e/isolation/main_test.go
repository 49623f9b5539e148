//go:build linux

// Package isolation_test proves that what runs in a sandbox reaches nothing but the sandbox, and that a blueprint
// reaches nothing but what it may ask for. README.md says how a probe is added.
package isolation_test

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/e2e/rig"
)

// patience bounds waits for things that take Terraform and Docker; a slow machine must not fail a test.
const patience = 3 * time.Minute

var long = flag.Bool("long", false, "the long form: every hostile blueprint goes to every wall")

// binDir holds the binaries under test and the probe, built once.
var binDir string

func TestMain(m *testing.M) {
	os.Exit(rig.InFolder("bothy-isolation-", func(dir string) int {
		binDir = dir
		build := exec.Command("go", "build", "-o", dir, "github.com/bothy-env/bothy/cmd/...", "github.com/bothy-env/bothy/e2e/isolation/probe")
		build.Env = append(os.Environ(), "CGO_ENABLED=0") // the probe runs in images that have no C library
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the binaries: %v\n%s", err, out)
			return 1
		}
		// Root of a container, and nobody, have to be able to read and run the probe.
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // it holds programs
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}))
}

func needsEngine(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the Docker engine and Terraform; left out by -short")
	}
	if err := rig.TouchSources(); err != nil {
		t.Fatal(err)
	}
}

func probePath() string { return filepath.Join(binDir, "probe") }

// token is a text that nothing else on the machine holds.
func token() string { return strings.ToLower(rand.Text()) }

// command runs a program of the machine and gives what it prints.
func command(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := command(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// afterwards undoes something at the end of the test, also of one that failed.
func afterwards(t *testing.T, name string, args ...string) {
	t.Helper()
	t.Cleanup(func() {
		if _, err := command(name, args...); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
}
