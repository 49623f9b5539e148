//go:build unix

package system

import (
	"io/fs"
	"syscall"
)

// ownersOf returns the user and group id of a file; ok is false if the system does not report them.
func ownersOf(info fs.FileInfo) (uid, gid int, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(st.Uid), int(st.Gid), true
}
