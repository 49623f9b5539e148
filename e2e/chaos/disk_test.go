package chaos_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// wholeDisk is the size of a disk that can be full. It takes no more memory than what lies on it.
const wholeDisk = "1g"

// mountDisk gives the first daemon's state directory a disk of its own, where this process may mount one.
func (h *house) mountDisk(t *testing.T) error {
	t.Helper()
	at := filepath.Join(h.dir, "d0", "state")
	if err := os.MkdirAll(at, 0o700); err != nil {
		return err
	}
	err := unix.Mount("bothy-chaos", at, "tmpfs", 0, "mode=0700,size="+wholeDisk)
	if errors.Is(err, unix.EPERM) {
		t.Logf("no disk is filled: mounting one needs root: %v", err)
		return nil
	}
	if err == nil {
		h.disk = at
	}
	return err
}

// unmountDisk takes the disk away, also while somebody has a file of it open.
func (h *house) unmountDisk() error {
	if h.disk == "" {
		return nil
	}
	return unix.Unmount(h.disk, unix.MNT_DETACH)
}

// fillDisk makes the disk as small as what lies on it for a while.
func (h *house) fillDisk(span time.Duration) (met bool, err error) {
	for range 100 {
		if err = h.shrinkDisk(); !errors.Is(err, unix.EINVAL) {
			break // else something was written meanwhile
		}
	}
	if err != nil {
		return false, fmt.Errorf("fill the disk: %w", err)
	}
	time.Sleep(span)
	return true, unix.Mount("", h.disk, "", unix.MS_REMOUNT, "size="+wholeDisk)
}

func (h *house) shrinkDisk() error {
	var disk unix.Statfs_t
	if err := unix.Statfs(h.disk, &disk); err != nil {
		return err
	}
	used := (disk.Blocks - disk.Bfree) * uint64(disk.Bsize)
	return unix.Mount("", h.disk, "", unix.MS_REMOUNT, fmt.Sprint("size=", used))
}
