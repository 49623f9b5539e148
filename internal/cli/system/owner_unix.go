//go:build unix

package system

import (
	"io/fs"
	"syscall"
)

// ownersOf gives the user and group ids that a file belongs to; ok is false where the system does not tell.
func ownersOf(info fs.FileInfo) (uid, gid int, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(st.Uid), int(st.Gid), true
}
