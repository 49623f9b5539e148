// Command bothy is the command line of bothy.
package main

import (
	"crypto/rand"
	"os"
	"runtime/debug"
	"time"

	"github.com/bothy-env/bothy/internal/cli"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
)

// version is set at build time.
var version = "dev"

func main() { os.Exit(run()) }

// gcPercent makes garbage collection rarer than Go's default of 100: a command runs for
// milliseconds, and collection takes a sixth of the time to list 1,000 environments.
const gcPercent = 400

func run() int {
	debug.SetGCPercent(gcPercent)
	return cli.Main(cli.Process{
		Args:    os.Args[1:],
		Getenv:  os.Getenv,
		IO:      iostreams.System(os.Getenv),
		Now:     time.Now,
		NewKey:  rand.Text,
		Version: version,
	})
}
