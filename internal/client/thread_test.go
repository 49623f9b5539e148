package client_test

import "runtime"

// lockThread ties the goroutine to its thread, which ends with it because it is never untied.
func lockThread() { runtime.LockOSThread() }
