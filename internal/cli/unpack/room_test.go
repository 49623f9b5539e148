//go:build unix

package unpack_test

import (
	"os"
	"syscall"
	"testing"
)

// checkRoom fails when a file takes more than most bytes of the disk.
func checkRoom(t *testing.T, path string, most int64) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Blocks*512 > most {
		t.Errorf("%s takes %d bytes of the disk, want %d at most", path, stat.Blocks*512, most)
	}
}
