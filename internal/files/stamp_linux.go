package files

import (
	"os"
	"syscall"
)

// stamp tells versions of a file apart, also those written within one tick of the clock.
type stamp struct {
	dev, inode, size  int64
	modified, changed syscall.Timespec
	mode, owner       uint32
}

func stampOf(info os.FileInfo) stamp {
	if info == nil {
		return stamp{}
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}
	}
	return stamp{
		dev: int64(st.Dev), inode: int64(st.Ino), size: st.Size,
		modified: st.Mtim, changed: st.Ctim, mode: st.Mode, owner: st.Uid,
	}
}
