// Package failpoint names the moments just before and just after every side effect, so that a
// test can end the process at each of them, as a power cut would. It imports the standard library only.
//
// A release holds none of it: without the build tag "chaos" Reach does nothing and the compiler
// drops its calls. With the tag the environment variable CHAOS_KILLPOINTS says what happens:
//
//	record:FILE    each name reached is appended to FILE, a line each
//	kill:NAME:N    SIGKILL to the own process when NAME is reached for the N-th time
//
// A name is "<room>/<what>:before" or "...:after".
package failpoint

// The two points around a side effect.
const (
	Before = "before"
	After  = "after"
)
