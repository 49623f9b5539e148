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

// tellFor is how long the daemon may take to be told that this process stops, and how long after its own TTIN this process
// may still run: the kernel does not stop one that no shell could let go on.
const tellFor = time.Second

// suspensions tells of Ctrl-Z before it stops this process, and when it goes on, until ctx ends.
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
			case <-goesOn: // of an earlier time
			default:
			}
			// Not TSTP: Go's handler stays once there was one, and would take it. The kernel's rule is the same for this one.
			_ = syscall.Kill(os.Getpid(), syscall.SIGTTIN) // one's own process takes it
			select {
			case <-goesOn:
			case <-time.After(tellFor):
			}
			tell(false)
		}
	}()
	return changes
}
