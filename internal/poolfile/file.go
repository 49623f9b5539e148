package poolfile

import (
	"fmt"

	"github.com/bothy-env/bothy/internal/files"
	"github.com/bothy-env/bothy/internal/fleet"
)

// File is a file that is read again when it has changed.
type File struct{ file *files.Fresh[[]fleet.Pool] }

// Open names a file; it is read at the first Pools.
func Open(path string) *File { return &File{files.NewFresh(path, nil, Parse)} }

// Pools gives what the file says now. A file that cannot be read, or is wrong, gives an error until it is mended.
func (f *File) Pools() ([]fleet.Pool, error) {
	pools, err := f.file.Get()
	if err != nil {
		return nil, fmt.Errorf("read pools: %w", err)
	}
	return pools, nil
}
