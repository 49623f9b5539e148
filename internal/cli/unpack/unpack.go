// Package unpack writes a tar that came out of an environment to the local disk. The archive is not trusted:
//
//   - the wall is an os.Root on the copied folder itself, never on the folder that it is put into;
//   - links are made last, when every file is written, so that nothing can be written through one;
//   - no link is followed, neither one of the archive nor one that was there before;
//   - an archive of one file is that file and nothing else, and a link alone is not made;
//   - holes are never filled, and files that are stored with holes are bounded by what they claim to have;
//   - names, their number and their depth are bounded before they are looked at.
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

// Result tells what was written, also when there is an error.
type Result struct {
	// Target is the path that the source was written to; empty when nothing was.
	Target string
	Files  int
	Bytes  int64
	// SetID are files whose set-user-ID and set-group-ID bits were left out, Attributes those whose extended attributes were: the first
	// of them.
	SetID, Attributes Names
	// Refused are the entries that were left out, also when there is another error.
	Refused Refused
}

// Names are the first names of some kind, and how many there are.
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

// Options say how an archive is unpacked.
type Options struct {
	// Contents takes what is in the folder, not the folder.
	Contents bool
	// Exclude reports whether an entry of the folder, by its name in it, is left out.
	Exclude func(name string) bool
	// MostSparse gives how many bytes the files that are stored with holes may have in all, the holes included. It is asked once,
	// for the first of them; MostSparse's error ends the copy. nil means DefaultMostSparse.
	MostSparse func() (int64, error)
}

// DefaultMostSparse is how many bytes files that are stored with holes may have in all when nothing else is said.
const DefaultMostSparse = 2 << 30

// Refused says that entries were left out; the rest was written.
type Refused struct {
	// Entries are the first of them, each with the reason.
	Entries []string
	// Count is how many there were.
	Count int
}

// Add takes over what another copy left out.
func (r *Refused) Add(other *Refused) {
	r.Count += other.Count
	r.Entries = append(r.Entries, other.Entries[:min(len(other.Entries), maxNamed-len(r.Entries))]...)
}

// Error is one sentence that names the entries.
func (r *Refused) Error() string { return "left out, all else was copied: " + r.String() }

// String lists the entries.
func (r *Refused) String() string {
	if more := r.Count - len(r.Entries); more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(r.Entries, "; "), more)
	}
	return strings.Join(r.Entries, "; ")
}

// maxNamed is how many refused entries are named.
const maxNamed = 5

// Tar unpacks an archive of one file or folder, base by name, to dest, as `cp -r` would:
//
//   - a folder goes into dest when that is a folder (its contents only, with Contents), and becomes dest otherwise;
//   - a file goes into dest when that is a folder, and becomes dest, replacing a file there, otherwise;
//   - dest's parent must exist; with a slash at its end dest must be a folder, or become one.
//
// It reads r to its end, so that an error which only the end tells is not missed; that error comes before a *Refused,
// which says that all but some entries were written.
func Tar(r io.Reader, base, dest string, opts Options) (Result, error) {
	in := NewStream(r)
	first, err := in.Next()
	if errors.Is(err, io.EOF) {
		err = errors.New("read archive: it is empty")
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
		// It could lead anywhere, and the next copy to this place would go there.
		err = fmt.Errorf("%s is a link to %s: copy what it leads to", quoted(first.Name), quoted(first.Linkname))
	default:
		err = entryError(first, errors.New(whatIs(first)))
	}
	x.result.Refused = x.refused
	if err == nil && x.refused.Count > 0 {
		err = &x.refused
	}
	return x.result, err
}

// entryError names the entry at fault.
func entryError(h *tar.Header, err error) error {
	return fmt.Errorf("unpack %s: %w", quoted(h.Name), err)
}

// unpackFile writes an archive of one file.
func (x *extractor) unpackFile(h *tar.Header, base, dest string) error {
	at, err := findPlace(base, dest, false, false)
	if err != nil {
		return err
	}
	// The root is the folder that the file goes into: only this one name is used in it.
	if x.root, err = os.OpenRoot(at.dir); err != nil {
		return fmt.Errorf("open target: %w", err)
	}
	defer func() { _ = x.root.Close() }() // the file in it was closed and checked
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
	return entryError(h, errors.New("the archive is of one file, and holds more"))
}

// unpackFolder writes an archive of a folder.
func (x *extractor) unpackFolder(h *tar.Header, base, dest string, contents bool) error {
	at, err := findPlace(base, dest, true, contents)
	if err != nil {
		return err
	}
	if x.root, err = at.open(); err != nil {
		return err
	}
	defer func() { _ = x.root.Close() }() // every file in it was closed and checked
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

// place is where an archive goes: dir exists, as is what the archive's topmost name becomes in it ("." for dir itself).
type place struct {
	dir, as string
	// fresh says that the folder was made for this copy.
	fresh bool
}

// open makes the folder when it is not there, and opens it as the wall. A link in its place is not followed.
func (p *place) open() (*os.Root, error) {
	above, err := os.OpenRoot(p.dir)
	if err != nil {
		return nil, fmt.Errorf("open target: %w", err)
	}
	if p.as == "." {
		return above, nil
	}
	defer func() { _ = above.Close() }() // opened to read
	err = above.Mkdir(p.as, 0o777)
	p.fresh = err == nil
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make target: %w", err)
	}
	before, err := above.Lstat(p.as)
	if err != nil {
		return nil, fmt.Errorf("look at target: %w", err)
	}
	if !before.IsDir() {
		return nil, fmt.Errorf("write to %s: there is %s in the place of the folder", filepath.Join(p.dir, p.as), nameOf(before))
	}
	root, err := above.OpenRoot(p.as)
	if err != nil {
		return nil, fmt.Errorf("open target: %w", err)
	}
	after, err := root.Stat(".")
	if err == nil && !os.SameFile(before, after) {
		err = errors.New("it was replaced meanwhile")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open target: %w", err), root.Close())
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
			return place{}, fmt.Errorf("write to %s: %q is no name for a file", dest, base)
		}
		return place{dir: dest, as: base}, nil
	case err == nil && folder:
		return place{}, fmt.Errorf("write to %s: it is a file, and the source is a folder", dest)
	case err == nil && slash:
		return place{}, fmt.Errorf("write to %s: it is a file", dest)
	case err == nil && !info.Mode().IsRegular():
		return place{}, fmt.Errorf("write to %s: it is a device or pipe; use - for the standard output", dest)
	case err == nil:
		// The user named a link: what it leads to is meant. None that leads out of a copy was ever made here.
		real, err := filepath.EvalSymlinks(dest)
		if err != nil {
			return place{}, fmt.Errorf("follow %s: %w", dest, err)
		}
		return place{dir: filepath.Dir(real), as: filepath.Base(real)}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return place{}, fmt.Errorf("look at target: %w", err)
	case !folder && slash:
		return place{}, fmt.Errorf("write to %s: there is no such folder", dest)
	}
	// A folder is made, a file is created: neither goes through a link of that name that leads nowhere.
	// Not cleaned: a .. after a link is where the system says that it is.
	dir, as := filepath.Split(strings.TrimRight(dest, "/"))
	if as == "" || as == "." || as == ".." {
		return place{}, fmt.Errorf("write to %s: there is no such folder", dest)
	}
	if dir == "" {
		dir = "."
	}
	return place{dir: dir, as: as}, nil
}
