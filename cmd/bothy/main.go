// Command bothy is the command line of bothy.
package main

import (
	"crypto/rand"
	"os"
	"time"

	"github.com/bothy-env/bothy/internal/cli"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
)

// version is set when the binaries are built.
var version = "dev"

func main() { os.Exit(run()) }

func run() int {
	return cli.Main(cli.Process{
		Args:    os.Args[1:],
		Getenv:  os.Getenv,
		IO:      iostreams.System(os.Getenv),
		Now:     time.Now,
		NewKey:  rand.Text,
		Version: version,
	})
}
