// Package auth says who asks and what they may do: bearer tokens, and the platform team's file of
// tenants, teams and roles.
package auth

import (
	"fmt"
	"os"
	"syscall"
)

// The rights that nobody but its owner may have to a file.
const (
	noRights  = 0o077
	noWriting = 0o022
)

// private refuses a file that others have forbidden rights to, or that is somebody else's.
func private(forbidden os.FileMode) func(os.FileInfo) error {
	return func(info os.FileInfo) error {
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", info.Name())
		}
		if mode := info.Mode().Perm(); mode&forbidden != 0 {
			what := "use"
			if forbidden == noWriting {
				what = "change"
			}
			return fmt.Errorf("%s has mode %04o, so others may %s it: chmod %03o it", info.Name(), mode, what, 0o666&^forbidden)
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() && st.Uid != 0 {
			return fmt.Errorf("%s belongs to user id %d", info.Name(), st.Uid)
		}
		return nil
	}
}
