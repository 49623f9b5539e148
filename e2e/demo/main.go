// Command demo shows bothy's main job on real input, with the real binaries: a daemon with a
// state directory of its own, an environment that Terraform makes on Docker, a Debian source
// package built and tested in it, a short lease that the reaper ends, and nothing left behind.
//
//	demo           the whole of it; exit code 0 only when every promise held
//	demo --clean   removes what demos left that could not clean up behind themselves, and their logs
//
// bothy and bothyd are taken from $BOTHY_BIN (default ./bin), which `make build` fills.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	clean := flag.Bool("clean", false, "remove all that demos left, and their logs; environments of others stay")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "demo: got %q, want no arguments\n", flag.Arg(0))
		os.Exit(2)
	}
	n := newNarrator(os.Stdout)
	ctx := untilInterrupted(n)
	do := runDemo
	if *clean {
		do = cleanAll
	}
	os.Exit(exitCode(do(ctx, n)))
}

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string {
	if i.signal == syscall.SIGINT {
		return "interrupted"
	}
	return "ended by a signal (" + i.signal.String() + ")"
}

// exitCode is 0, 1, or 128+n after signal n.
func exitCode(err error) int {
	var by interrupted
	switch {
	case err == nil:
		return 0
	case errors.As(err, &by):
		return 128 + int(by.signal)
	default:
		return 1
	}
}

// untilInterrupted returns a context that the first signal ends, so that everything is cleaned up. The second is only acknowledged,
// because people press Ctrl-C twice; the third gives up. SIGPIPE is among them: a reader that exits (`demo | head`) must not leave an
// environment behind.
func untilInterrupted(n *narrator) context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	go func() {
		for count := 0; ; {
			s, ok := (<-signals).(syscall.Signal)
			if !ok || s == syscall.SIGPIPE && count > 0 { // every further unread line causes one
				continue
			}
			count++
			switch count {
			case 1:
				n.Say("%s: cleaning up", interrupted{s}.Error())
				cancel(interrupted{s})
			case 2:
				n.Say("still cleaning up; press Ctrl-C again to leave the rest to make demo-clean")
			default:
				n.Status("")
				os.Exit(128 + int(s))
			}
		}
	}()
	return ctx
}
