// Package chaos_test proves bothy's promises by force: real daemons, built with the fail points that a
// release does not have, are ended at every one of them, stopped, raced against each other and cut off from
// their database, and then everything that is promised is counted. README.md lists promise, test and figure.
package chaos_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/bothy-env/bothy/e2e/rig"
	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
)

var (
	long     = flag.Bool("long", false, "the long form of every proof: all points, all rounds (make chaos)")
	seedFlag = flag.Uint64("seed", 0, "repeats a run that was drawn by this seed; 0 draws a new one")
	duration = flag.Duration("duration", 20*time.Second, "how long the soak goes on (make soak)")
)

// binDir holds the binaries under test, built once with the fail points.
var binDir string

// atOnce is how many installations are tried at the same time, whatever the cores: mostly they wait.
const atOnce = "4"

func TestMain(m *testing.M) {
	err := flag.Set("test.parallel", atOnce)
	if flag.Parse(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(rig.InFolder("bothy-chaos-", func(dir string) int {
		binDir = dir
		if err := build(filepath.Join(dir, "bothyd"), "chaos"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return pgtest.Main(m)
	}))
}

// build makes the daemon, with a build tag or without.
func build(to, tag string) error {
	cmd := exec.Command("go", "build", "-tags", tag, "-o", to, "github.com/bothy-env/bothy/cmd/bothyd")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build bothyd: %w\n%s", err, out)
	}
	return nil
}

// seeded gives the test's own source of chance, and prints what repeats the run.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("repeat this run with -seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // chance that can be repeated is what is wanted
}

// pick gives the figure of the form that runs.
func pick(short, whole int) int {
	if *long {
		return whole
	}
	return short
}
