//go:build unix

package source

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// nonBlocking opens a pipe without waiting for the other end.
const nonBlocking = unix.O_NONBLOCK

// unreadable reports whether the permissions of a file forbid reading it, without opening it.
func unreadable(path string) bool {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK, unix.AT_EACCESS) == unix.EACCES
}

// hasAttributes reports whether a file has extended attributes that a user set: user attributes, access lists or capabilities. Labels
// of security modules do not count.
func hasAttributes(file string) bool {
	var list [4096]byte
	n, err := unix.Llistxattr(file, list[:])
	if err != nil {
		return errors.Is(err, unix.ERANGE)
	}
	for name := range strings.SplitSeq(string(list[:n]), "\x00") {
		if strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "system.posix_acl_") || name == "security.capability" {
			return true
		}
	}
	return false
}

// sparseInfo reports whether a file has so few blocks for its size that it may have holes. A file that its file system compresses
// looks the same and has no holes.
func sparseInfo(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Size()-stat.Blocks*512 >= leastHoles
}

// nextData finds the next data range of a file; from is past the end if there is none.
func nextData(f *os.File, at int64) (from, to int64, err error) {
	from, err = f.Seek(at, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return math.MaxInt64, math.MaxInt64, nil
	}
	if err != nil {
		return 0, 0, err
	}
	to, err = f.Seek(from, unix.SEEK_HOLE)
	return from, to, err
}
