// Package unpack writes a tar from an environment to the local disk. The archive is untrusted:
//
//   - all writes go through an os.Root on the copied directory itself, never on its parent;
//   - links are created last, after every file, so that no file can be written through a link;
//   - no link is followed, neither one of the archive nor an existing one;
//   - an archive of one file contains nothing else, and a single link is not created;
//   - holes are never filled, and the apparent size of sparse files is limited;
//   - the length, number and depth of names are limited before they are used.
package unpack

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Result describes what was written, even if there is an error.
type Result struct {
	// Target is the path of the copy; empty if nothing was written.
	Target string
	Files  int
	Bytes  int64
	// SetID are files whose set-user-ID and set-group-ID bits were dropped, Attributes files whose extended attributes were dropped.
	SetID, Attributes Names
	// Refused are the entries that were skipped, even if there is another error.
	Refused Refused
}

// Names holds the first few names of a kind, and their total number.
type Names struct {
	First []string
	Count int
}

// Add counts a name.
func (n *Names) Add(name string) {
	n.Count++
	if len(n.First) < maxNamed {
		n.First = append(n.First, name)
	}
}

// String lists them for people.
func (n *Names) String() string {
	if n.Count > len(n.First) {
		return fmt.Sprintf("%s and %d more", strings.Join(n.First, ", "), n.Count-len(n.First))
	}
	return strings.Join(n.First, ", ")
}

// Options control how Tar unpacks an archive.
type Options struct {
	// Contents unpacks the content of the directory, not the directory.
	Contents bool
	// Exclude reports whether to skip an entry of the directory, by its name in the directory.
	Exclude func(name string) bool
	// MostSparse returns the limit for the total size of sparse files, holes included, in bytes. Tar calls it once, for the first
	// sparse file. Its error ends the copy. nil means DefaultMostSparse.
	MostSparse func() (int64, error)
}

// DefaultMostSparse is the default limit for the total size of sparse files, in bytes.
const DefaultMostSparse = 2 << 30

// Refused reports that entries were skipped and the rest was written.
type Refused struct {
	// Entries are the first skipped entries, each with the reason.
	Entries []string
	// Count is the number of skipped entries.
	Count int
}

// Add adds the skipped entries of another copy.
func (r *Refused) Add(other *Refused) {
	r.Count += other.Count
	r.Entries = append(r.Entries, other.Entries[:min(len(other.Entries), maxNamed-len(r.Entries))]...)
}

// Error returns one sentence that names the entries.
func (r *Refused) Error() string { return "skipped untrusted entries, copied the rest: " + r.String() }

// String lists the entries.
func (r *Refused) String() string {
	if more := r.Count - len(r.Entries); more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(r.Entries, "; "), more)
	}
	return strings.Join(r.Entries, "; ")
}

// maxNamed is the maximum number of names to keep.
const maxNamed = 5

// Tar unpacks an archive of one file or directory called base to dest, like `cp -r`:
//
//   - a directory goes into dest if dest is a directory (only its content with Contents), otherwise it becomes dest;
//   - a file goes into dest if dest is a directory, otherwise it becomes dest and replaces an existing file;
//   - the parent of dest must exist; with a trailing slash dest must be a directory, or become one.
//
// Tar reads r to its end to catch an error that only appears there. Such an error takes precedence over a *Refused.
func Tar(r io.Reader, base, dest string, opts Options) (Result, error) {
	in := NewStream(r)
	first, err := in.Next()
	if errors.Is(err, io.EOF) {
		err = errors.New("cannot read the archive: it is empty")
	}
	if err != nil {
		return Result{}, err
	}
	top, err := topmost(first)
	if err != nil {
		return Result{}, entryError(first, err)
	}
	x := &extractor{in: in, top: top, seen: map[string]kind{}, exclude: opts.Exclude, mostSparse: opts.MostSparse}
	if x.mostSparse == nil {
		x.mostSparse = func() (int64, error) { return DefaultMostSparse, nil }
	}
	x.mostSparse = sync.OnceValues(x.mostSparse)
	switch kindOf(first) {
	case aFolder:
		err = x.unpackFolder(first, base, dest, opts.Contents)
	case aFile:
		err = x.unpackFile(first, base, dest)
	case aLink:
		// The link could lead anywhere, and the next copy to this path would follow it.
		err = fmt.Errorf("cannot copy %s: it is a link to %s, copy the target instead", quoted(first.Name), quoted(first.Linkname))
	default:
		err = entryError(first, errors.New(whatIs(first)))
	}
	x.result.Refused = x.refused
	if err == nil && x.refused.Count > 0 {
		err = &x.refused
	}
	return x.result, err
}

// entryError adds the name of the entry to an error.
func entryError(h *tar.Header, err error) error {
	return fmt.Errorf("cannot unpack %s: %w", quoted(h.Name), err)
}

// unpackFile writes an archive of one file.
func (x *extractor) unpackFile(h *tar.Header, base, dest string) error {
	at, err := findPlace(base, dest, false, false)
	if err != nil {
		return err
	}
	// The root is the parent directory of the file, and only this one name in it is used.
	if x.root, err = os.OpenRoot(at.dir); err != nil {
		return fmt.Errorf("cannot open destination: %w", err)
	}
	defer func() { _ = x.root.Close() }() // the file was closed with an error check
	x.result.Target = filepath.Join(at.dir, at.as)
	if err := x.claim(h); err != nil {
		return entryError(h, err)
	}
	if err := x.clear(at.as); err != nil {
		return entryError(h, err)
	}
	if err := x.file(h, at.as); err != nil {
		return entryError(h, err)
	}
	h, err = x.in.Next()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	return entryError(h, errors.New("the archive contains more than the one file"))
}

// unpackFolder writes an archive of a directory.
func (x *extractor) unpackFolder(h *tar.Header, base, dest string, contents bool) error {
	at, err := findPlace(base, dest, true, contents)
	if err != nil {
		return err
	}
	if x.root, err = at.open(); err != nil {
		return err
	}
	defer func() { _ = x.root.Close() }() // every file was closed with an error check
	x.result.Target = filepath.Join(at.dir, at.as)
	if x.fresh = at.fresh; x.fresh {
		x.folders = append(x.folders, folder{name: ".", mode: folderMode(h), time: h.ModTime})
	}
	for {
		h, err := x.in.Next()
		if errors.Is(err, io.EOF) {
			return x.finish()
		}
		if err != nil {
			return err
		}
		if err := x.entry(h); err != nil {
			return entryError(h, err)
		}
	}
}

// place is the destination of an archive: dir exists, as is the name of the copy in it ("." for dir itself).
type place struct {
	dir, as string
	// fresh reports that the directory was created for this copy.
	fresh bool
}

// open creates the directory if necessary, and opens it as the root of all writes. It does not follow a link.
func (p *place) open() (*os.Root, error) {
	above, err := os.OpenRoot(p.dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open destination: %w", err)
	}
	if p.as == "." {
		return above, nil
	}
	defer func() { _ = above.Close() }() // read only
	err = above.Mkdir(p.as, 0o777)
	p.fresh = err == nil
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("cannot create destination: %w", err)
	}
	before, err := above.Lstat(p.as)
	if err != nil {
		return nil, fmt.Errorf("cannot read destination: %w", err)
	}
	if !before.IsDir() {
		return nil, fmt.Errorf("cannot write to %s: it is %s, not a directory", filepath.Join(p.dir, p.as), nameOf(before))
	}
	root, err := above.OpenRoot(p.as)
	if err != nil {
		return nil, fmt.Errorf("cannot open destination: %w", err)
	}
	after, err := root.Stat(".")
	if err == nil && !os.SameFile(before, after) {
		err = errors.New("it was replaced during the copy")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open destination: %w", err), root.Close())
	}
	return root, nil
}

func findPlace(base, dest string, folder, contents bool) (place, error) {
	slash := strings.HasSuffix(dest, "/")
	info, err := os.Stat(dest)
	switch {
	case err == nil && info.IsDir() && folder && contents:
		return place{dir: dest, as: "."}, nil
	case err == nil && info.IsDir():
		if !filepath.IsLocal(base) || base == "." {
			return place{}, fmt.Errorf("cannot write to %s: %q is not a valid file name", dest, base)
		}
		return place{dir: dest, as: base}, nil
	case err == nil && folder:
		return place{}, fmt.Errorf("cannot write to %s: it is a file, and the source is a directory", dest)
	case err == nil && slash:
		return place{}, fmt.Errorf("cannot write to %s: it is a file", dest)
	case err == nil && !info.Mode().IsRegular():
		return place{}, fmt.Errorf("cannot write to %s: it is a device or pipe, use - for stdout", dest)
	case err == nil:
		// The user named a link, which means its target. bothy never creates a link that leads outside a copy.
		real, err := filepath.EvalSymlinks(dest)
		if err != nil {
			return place{}, fmt.Errorf("cannot follow link %s: %w", dest, err)
		}
		return place{dir: filepath.Dir(real), as: filepath.Base(real)}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return place{}, fmt.Errorf("cannot read destination: %w", err)
	case !folder && slash:
		return place{}, fmt.Errorf("cannot write to %s: no such directory", dest)
	}
	// Creating a directory or file never follows a dangling link of that name.
	// The path is not cleaned: the system resolves .. after a link.
	dir, as := filepath.Split(strings.TrimRight(dest, "/"))
	if as == "" || as == "." || as == ".." {
		return place{}, fmt.Errorf("cannot write to %s: no such directory", dest)
	}
	if dir == "" {
		dir = "."
	}
	return place{dir: dir, as: as}, nil
}
