// Package files reads the files that people keep while a daemon runs: the platform team's hosts and pools, and, as a Fresh,
// whatever is read again when it changes.
package files

import (
	"fmt"
	"os"
	"sync"
)

// maxSize bounds a file, in bytes.
const maxSize = 1 << 20

// Fresh is a file and what it says. It is safe for concurrent use.
type Fresh[T any] struct {
	path  string
	check func(os.FileInfo) error
	parse func(file string, data []byte) (T, error)

	mu     sync.Mutex
	looked bool
	seen   stamp
	good   T
	err    error
}

// NewFresh names a file; it is read at the first Get. check, when not nil, is asked of it before it is read.
func NewFresh[T any](path string, check func(os.FileInfo) error, parse func(file string, data []byte) (T, error)) *Fresh[T] {
	return &Fresh[T]{path: path, check: check, parse: parse}
}

// Path is the file's.
func (f *Fresh[T]) Path() string { return f.path }

// Get gives what the file says now. While it cannot be read or is wrong, it gives the error, and what it
// said when it was last right.
func (f *Fresh[T]) Get() (T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	now := stampOf(info)
	if f.looked && now == f.seen && now != (stamp{}) {
		return f.good, f.err
	}
	f.looked, f.seen = true, now
	if err == nil {
		err = f.read(info)
	}
	f.err = err
	return f.good, f.err
}

func (f *Fresh[T]) read(info os.FileInfo) error {
	if f.check != nil {
		if err := f.check(info); err != nil {
			return err
		}
	}
	data, err := os.ReadFile(f.path)
	if err != nil {
		f.looked = false // what is wrong may be this process, and pass
		return err
	}
	if len(data) > maxSize {
		return fmt.Errorf("it has %d bytes, and the limit is %d", len(data), maxSize)
	}
	good, err := f.parse(f.path, data)
	if err == nil {
		f.good = good
	}
	return err
}
