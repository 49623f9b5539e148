package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/internal/fleet"
)

// reserveFile is room that bothyd keeps on the disk of its state directory for when that is full.
const reserveFile = "reserve"

const (
	// mostReserve is the size of the reserve, in bytes: some thousand changes of state and the files of a few deletes. On a small
	// disk it is a part of that.
	mostReserve   = 8 << 20
	reservedShare = 8
)

// reserve is a file that is given up when the disk is full, so that leases still end and what they held can be deleted, also by a daemon
// that is started then. While it is given up nothing new is made.
type reserve struct {
	dir string
	// room is how much of the disk is free, and how large that is, in bytes; tests have their own.
	room func(dir string) (free, total uint64, err error)

	mu sync.Mutex
}

func newReserve(dir string) *reserve { return &reserve{dir: dir, room: roomOn} }

// roomOn asks the file system.
func roomOn(dir string) (free, total uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("look for room in %s: %w", dir, err)
	}
	size := uint64(st.Bsize) //nolint:gosec // a block size is never negative
	return st.Bavail * size, st.Blocks * size, nil
}

// check gives the reserve up when the disk is nearly full, and takes it again when there is room for twice as much. The error, of
// code unavailable, says that it is given up; it is nil where the room is not known, which doctor tells.
func (r *reserve) check() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	free, total, err := r.room(r.dir)
	if err != nil || total == 0 {
		return nil //nolint:nilerr // diskCheck tells
	}
	size := min(mostReserve, total/reservedShare)
	path := filepath.Join(r.dir, reserveFile)
	var st unix.Stat_t
	// A copy of the folder may have made a hole of it.
	kept := unix.Lstat(path, &st) == nil && uint64(st.Blocks)*512 >= size/2 //nolint:gosec // a count is never negative
	switch {
	case kept && free >= size/2:
		return nil
	case kept:
		if err := os.Remove(path); err != nil {
			return fleet.Errorf(fleet.CodeUnavailable, "the disk of the state directory %s is full, and bothyd cannot free its reserve: %w", r.dir, err)
		}
	case free >= 2*size && take(path, size) == nil:
		return nil
	}
	return fleet.Errorf(fleet.CodeUnavailable, "the disk of the state directory %s is full: bothyd creates nothing new; leases still expire", r.dir).
		WithHint("free %d MiB there; bothyd resumes by itself", (2*size+1<<20-1)>>20)
}

// take makes the reserve. Where blocks cannot be set aside they are written.
func take(path string, size uint64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("make the reserve: %w", err)
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, int64(size)) //nolint:gosec // at most mostReserve
	if errors.Is(err, unix.EOPNOTSUPP) {
		_, err = f.Write(make([]byte, size))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("make the reserve: %w", err), os.Remove(path))
	}
	return nil
}
