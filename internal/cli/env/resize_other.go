//go:build !unix

package env

import "os"

// notifyResize cannot tell here when the terminal's size changes: it keeps the one that it began with.
func notifyResize(chan<- os.Signal) {}
