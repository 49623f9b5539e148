//go:build unix

package env

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/bothy-env/bothy/internal/client"
)

// tellFor limits how long it takes to notify the daemon before this process stops, and how long this process may run after its own
// TTIN: the kernel does not stop a process that no shell could continue.
const tellFor = time.Second

// suspensions reports Ctrl-Z before it stops this process, and the moment when the process continues, until ctx ends.
func suspensions(ctx context.Context) <-chan client.Suspension {
	if signal.Ignored(syscall.SIGTSTP) {
		return nil
	}
	changes := make(chan client.Suspension)
	caught, goesOn := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGTSTP)
	signal.Notify(goesOn, syscall.SIGCONT)
	tell := func(stops bool) {
		told := make(chan struct{})
		late := time.NewTimer(tellFor)
		defer late.Stop()
		select {
		case changes <- client.Suspension{Stops: stops, Told: told}:
		case <-late.C:
			return
		}
		select {
		case <-told:
		case <-late.C:
		}
	}
	go func() {
		defer signal.Stop(goesOn)
		defer signal.Stop(caught)
		for {
			select {
			case <-ctx.Done():
				return
			case <-caught:
			}
			tell(true)
			select {
			case <-goesOn: // from an earlier suspension
			default:
			}
			// Not TSTP: Go's handler stays installed and would catch it. The kernel treats TTIN alike.
			_ = syscall.Kill(os.Getpid(), syscall.SIGTTIN) // cannot fail for this process
			select {
			case <-goesOn:
			case <-time.After(tellFor):
			}
			tell(false)
		}
	}()
	return changes
}
