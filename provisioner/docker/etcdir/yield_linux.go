package etcdir

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// yieldThread returns the goroutine a thread of its own, of little weight, until it ends: the thread then ends, too.
func yieldThread() {
	runtime.LockOSThread()
	// An error leaves it as heavy as others.
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 10)
}
