package main

import (
	"fmt"
	"syscall"
)

// bomb forks without end, and so does each process that it makes; none ends when there is room for no more. A process that
// is made this way has one thread, and nothing of Go's runtime that could stop it: it may only make raw calls.
func bomb() {
	fmt.Println("ready")
	for {
		if _, _, err := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0); err != 0 {
			_, _, _ = syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
		}
	}
}
