// Package unpack writes a tar that came out of an environment to the local disk. The archive is not trusted:
// nothing is written outside of the target, no link is followed out of it, no device is made.
package unpack

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/cli/links"
)

// Result tells what was written.
type Result struct {
	// Target is the path that the source was written to.
	Target string
	Files  int
	Bytes  int64
}

// Refused says that entries were left out; the rest was written.
type Refused struct {
	// Entries are the first of them, each with the reason.
	Entries []string
	// Count is how many there were.
	Count int
}

// Error is one sentence that names the entries.
func (r *Refused) Error() string {
	more := ""
	if r.Count > len(r.Entries) {
		more = fmt.Sprintf(" and %d more", r.Count-len(r.Entries))
	}
	return fmt.Sprintf("left out, all else was copied: %s%s", strings.Join(r.Entries, "; "), more)
}

// maxNamed is how many refused entries are named.
const maxNamed = 5

// Tar unpacks an archive of one file or folder, base by name, to dest, as `cp -r` would:
//
//   - a folder goes into dest when that is a folder (its contents only, with contents), and becomes dest otherwise;
//   - a file goes into dest when that is a folder, and becomes dest, replacing a file there, otherwise;
//   - dest's parent must exist; with a slash at its end dest must be a folder, or become one.
//
// The error is a *Refused when all but some entries were written.
func Tar(r io.Reader, base, dest string, contents bool) (Result, error) {
	tr := tar.NewReader(r)
	first, err := tr.Next()
	if errors.Is(err, io.EOF) {
		return Result{}, errors.New("read archive: it is empty")
	}
	if err != nil {
		return Result{}, fmt.Errorf("read archive: %w", err)
	}
	place, err := findPlace(base, dest, first.Typeflag == tar.TypeDir, contents)
	if err != nil {
		return Result{}, err
	}
	root, err := os.OpenRoot(place.dir)
	if err != nil {
		return Result{}, fmt.Errorf("open target: %w", err)
	}
	defer func() { _ = root.Close() }() // every file in it was closed and checked
	x := &extractor{root: root, as: place.as, files: map[string]bool{}, result: Result{Target: filepath.Join(place.dir, place.as)}}
	if err := x.all(tr, first); err != nil {
		return x.result, err
	}
	if x.refused.Count > 0 {
		return x.result, &x.refused
	}
	return x.result, nil
}

// place is where an archive goes: dir exists, as is what the archive's topmost name becomes in it ("." for dir itself).
type place struct{ dir, as string }

func findPlace(base, dest string, folder, contents bool) (place, error) {
	slash := strings.HasSuffix(dest, "/")
	info, err := os.Stat(dest)
	switch {
	case err == nil && info.IsDir() && folder && contents:
		return place{dest, "."}, nil
	case err == nil && info.IsDir():
		if !filepath.IsLocal(base) || base == "." {
			return place{}, fmt.Errorf("write to %s: %q is no name for a file", dest, base)
		}
		return place{dest, base}, nil
	case err == nil && folder:
		return place{}, fmt.Errorf("write to %s: it is a file, and the source is a folder", dest)
	case err == nil && slash:
		return place{}, fmt.Errorf("write to %s: it is a file", dest)
	case err == nil && !info.Mode().IsRegular():
		return place{}, fmt.Errorf("write to %s: it is a device or pipe; use - for the standard output", dest)
	case err == nil:
		// The user named a link: what it leads to is meant.
		real, err := filepath.EvalSymlinks(dest)
		if err != nil {
			return place{}, fmt.Errorf("follow %s: %w", dest, err)
		}
		return place{filepath.Dir(real), filepath.Base(real)}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return place{}, fmt.Errorf("look at target: %w", err)
	case folder:
		if err := os.Mkdir(dest, 0o777); err != nil { //nolint:gosec // as cp does: the umask decides
			return place{}, fmt.Errorf("make target: %w", err)
		}
		return place{dest, "."}, nil
	case slash:
		return place{}, fmt.Errorf("write to %s: there is no such folder", dest)
	}
	return place{filepath.Dir(dest), filepath.Base(dest)}, nil
}

type extractor struct {
	root *os.Root
	as   string
	// files are the regular files of this archive: only they may be linked to.
	files   map[string]bool
	folders []folder
	links   []link
	result  Result
	refused Refused
}

// folder is one whose rights and time are set last, when nothing more is written into it.
type folder struct {
	name string
	mode fs.FileMode
	time time.Time
}

// link is one that was made. What it leads to is known only when all are.
type link struct {
	name   string
	header *tar.Header
}

func (x *extractor) all(tr *tar.Reader, h *tar.Header) error {
	for {
		name, err := x.local(h.Name)
		if err != nil {
			return fmt.Errorf("unpack %q: %w", h.Name, err)
		}
		if err := x.entry(tr, h, name); err != nil {
			return fmt.Errorf("unpack %q: %w", h.Name, err)
		}
		h, err = tr.Next()
		if errors.Is(err, io.EOF) {
			return x.finish()
		}
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
	}
}

// local is the path in root that an archive's name stands for: its topmost folder is replaced.
func (x *extractor) local(name string) (string, error) {
	if path.IsAbs(name) || strings.ContainsRune(name, 0) || !filepath.IsLocal(name) {
		return "", errors.New("the name leads out of the target")
	}
	for part := range strings.SplitSeq(name, "/") {
		// Harmless ones exist, but nothing honest makes them.
		if part == ".." {
			return "", errors.New("the name leads out of the target")
		}
	}
	_, below, _ := strings.Cut(path.Clean(name), "/")
	return path.Join(x.as, below), nil
}

func (x *extractor) refuse(h *tar.Header, reason string) {
	x.refused.Count++
	if len(x.refused.Entries) < maxNamed {
		x.refused.Entries = append(x.refused.Entries, fmt.Sprintf("%q (%s)", h.Name, reason))
	}
}

// finish takes away links that lead out by way of others, and sets rights and times of folders, the innermost first.
func (x *extractor) finish() error {
	for _, l := range x.links {
		target, err := x.root.Readlink(l.name)
		if err != nil || target != l.header.Linkname || links.StayInside(x.root, l.name, target) {
			continue // Replaced by a later entry, or harmless.
		}
		if err := x.root.Remove(l.name); err != nil {
			return fmt.Errorf("take away link: %w", err)
		}
		x.refuse(l.header, fmt.Sprintf("a link to %q, which leads out of the target by way of other links", target))
	}
	for i := len(x.folders) - 1; i >= 0; i-- {
		f := x.folders[i]
		if err := x.root.Chmod(f.name, f.mode); err != nil {
			return fmt.Errorf("set rights: %w", err)
		}
		if err := x.root.Chtimes(f.name, f.time, f.time); err != nil {
			return fmt.Errorf("set time: %w", err)
		}
	}
	return nil
}
