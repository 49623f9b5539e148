//go:build !linux

package files

import "os"

// stamp tells versions of a file apart. The daemon, which keeps files for long, runs on Linux alone.
type stamp struct{ size, modified, mode int64 }

func stampOf(info os.FileInfo) stamp {
	if info == nil {
		return stamp{}
	}
	return stamp{info.Size(), info.ModTime().UnixNano(), int64(info.Mode())}
}
