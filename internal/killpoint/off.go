//go:build !chaos

package killpoint

// Reach does nothing in a release.
func Reach(room, what, end string) {}
