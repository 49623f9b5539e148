//go:build unix

package blueprint

import "syscall"

// asItIs opens a name without waiting for a pipe's other end, and not through a link.
const asItIs = syscall.O_NONBLOCK | syscall.O_NOFOLLOW
