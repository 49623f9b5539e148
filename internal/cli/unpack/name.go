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
	// maxName is PATH_MAX: no system call takes a longer name.
	maxName = 4096
	// maxParts bounds how deep a tree gets: many tools cannot remove one that is much deeper.
	maxParts = 255
)

// maxQuoted is how many bytes of a name an error shows.
const maxQuoted = 200

// quoted shows a name of the archive's in an error.
func quoted(name string) string {
	if len(name) <= maxQuoted {
		return strconv.Quote(name)
	}
	return strconv.Quote(name[:maxQuoted]) + "..."
}

// kind is what a name of the archive stands for.
type kind byte

const (
	aFolder kind = iota + 1
	aFile
	aLink
	aHardLink
	aNote // says something of the archive, and makes no file
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

// whatIs names a kind that is never made.
func whatIs(h *tar.Header) string {
	switch h.Typeflag {
	case tar.TypeChar, tar.TypeBlock:
		return "a device"
	case tar.TypeFifo:
		return "a pipe"
	}
	return fmt.Sprintf("of unknown kind %q", h.Typeflag)
}

// Sparse reports whether the file's holes are left out of the archive: a few bytes can stand for any number.
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
		return "a folder"
	case info.Mode().IsRegular():
		return "a file"
	case info.Mode().Type() == fs.ModeSymlink:
		return "a link"
	}
	return "a device or pipe"
}

// checkName refuses a name that is longer or deeper than any file's, or that leads out. It looks at each byte once.
func checkName(name string) error {
	switch {
	case len(name) > maxName:
		return fmt.Errorf("the name has %d bytes, and %d are the most", len(name), maxName)
	case strings.Count(name, "/") >= maxParts+1: // one may be at the end
		return fmt.Errorf("the name has more than %d parts", maxParts)
	case path.IsAbs(name) || strings.ContainsRune(name, 0) || !filepath.IsLocal(name):
		return errors.New("the name leads out of the target")
	}
	for part := range strings.SplitSeq(name, "/") {
		// Harmless ones exist, but nothing honest makes them.
		if part == ".." {
			return errors.New("the name leads out of the target")
		}
	}
	return nil
}

// topmost is the first entry's name, which stands before all others; "." when the source is a root folder.
func topmost(h *tar.Header) (string, error) {
	if err := checkName(h.Name); err != nil {
		return "", err
	}
	top := path.Clean(h.Name)
	if strings.Contains(top, "/") {
		return "", errors.New("the archive does not begin with the folder that it is of")
	}
	return top, nil
}

// local is the path below the new folder that an archive's name stands for: "." for the folder itself.
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
		return "", fmt.Errorf("the name is not in %s, which the archive is of", quoted(x.top))
	}
	return below, nil
}
