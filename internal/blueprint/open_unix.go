//go:build unix

package blueprint

import "syscall"

// asItIs opens a name without waiting for the other end of a pipe, and without following a link.
const asItIs = syscall.O_NONBLOCK | syscall.O_NOFOLLOW
