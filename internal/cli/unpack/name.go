package unpack

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	// maxName is PATH_MAX: no system call accepts a longer name.
	maxName = 4096
	// maxParts limits the depth of a tree: many tools cannot delete a much deeper one.
	maxParts = 255
)

// maxQuoted is the maximum number of bytes of a name in an error.
const maxQuoted = 200

// quoted formats a name of the archive for an error.
func quoted(name string) string {
	if len(name) <= maxQuoted {
		return strconv.Quote(name)
	}
	return strconv.Quote(name[:maxQuoted]) + "..."
}

// kind is the type of an archive entry.
type kind byte

const (
	aFolder kind = iota + 1
	aFile
	aLink
	aHardLink
	aNote // metadata without a file
	unknown
)

func kindOf(h *tar.Header) kind {
	switch h.Typeflag {
	case tar.TypeDir:
		return aFolder
	case tar.TypeReg, tar.TypeGNUSparse:
		return aFile
	case tar.TypeSymlink:
		return aLink
	case tar.TypeLink:
		return aHardLink
	case tar.TypeXGlobalHeader:
		return aNote
	}
	return unknown
}

// whatIs names a kind that is never created.
func whatIs(h *tar.Header) string {
	switch h.Typeflag {
	case tar.TypeChar, tar.TypeBlock:
		return "device"
	case tar.TypeFifo:
		return "pipe"
	}
	return fmt.Sprintf("unknown type %q", h.Typeflag)
}

// Sparse reports whether the archive omits the holes of a file: a few bytes can then stand for any size.
func Sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}

func nameOf(info fs.FileInfo) string {
	switch {
	case info.IsDir():
		return "a directory"
	case info.Mode().IsRegular():
		return "a file"
	case info.Mode().Type() == fs.ModeSymlink:
		return "a link"
	}
	return "a device or pipe"
}

// checkName refuses a name that is too long or too deep, or that leads outside. It reads each byte once.
func checkName(name string) error {
	switch {
	case len(name) > maxName:
		return fmt.Errorf("the name has %d bytes, and the limit is %d", len(name), maxName)
	case strings.Count(name, "/") >= maxParts+1: // one may be at the end
		return fmt.Errorf("the name has more than %d elements", maxParts)
	case path.IsAbs(name) || strings.ContainsRune(name, 0) || !filepath.IsLocal(name):
		return errors.New("the name leads outside the copy")
	}
	for part := range strings.SplitSeq(name, "/") {
		// Some are harmless, but no honest archive has them.
		if part == ".." {
			return errors.New("the name leads outside the copy")
		}
	}
	return nil
}

// topmost returns the name of the first entry, which all others start with; "." if the source is a root directory.
func topmost(h *tar.Header) (string, error) {
	if err := checkName(h.Name); err != nil {
		return "", err
	}
	top := path.Clean(h.Name)
	if strings.Contains(top, "/") {
		return "", errors.New("the archive does not start with its top directory")
	}
	return top, nil
}

// local returns the path below the new directory for a name in the archive: "." for the directory itself.
func (x *extractor) local(name string) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	name = path.Clean(name)
	if name == x.top || x.top == "." {
		name = strings.TrimPrefix(name, x.top+"/")
		if name == x.top {
			name = "."
		}
		return name, nil
	}
	below, found := strings.CutPrefix(name, x.top+"/")
	if !found {
		return "", fmt.Errorf("the name is not below %s, the top directory of the archive", quoted(x.top))
	}
	return below, nil
}
