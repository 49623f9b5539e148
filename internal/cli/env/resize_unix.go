//go:build unix

package env

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyResize tells when the terminal's size changes.
func notifyResize(changed chan<- os.Signal) { signal.Notify(changed, syscall.SIGWINCH) }
