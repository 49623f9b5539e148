package unpack

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

const (
	// maxEntries and maxNameBytes limit the memory for one archive.
	maxEntries   = 1_000_000
	maxNameBytes = 128 << 20
)

// extractor writes one archive below root.
type extractor struct {
	// count and names are the number of entries so far, and the bytes of their names.
	count, names int

	in   *Stream
	root *os.Root
	// top is the top name of the archive.
	top string
	// seen are the names of this archive, including links that are not created yet, and their parent directories.
	seen map[string]kind
	// fresh reports that the directory was created for this copy, so that everything in it is from the archive.
	fresh   bool
	folders []folder
	links   []link
	exclude func(name string) bool
	// mostSparse limits sparse, the size of the sparse files so far.
	mostSparse func() (int64, error)
	sparse     int64
	result     Result
	refused    Refused
}

// folder is a directory whose mode and time are set last, after its content.
type folder struct {
	name string
	mode fs.FileMode
	time time.Time
}

// refusal is the reason for skipping an entry. Any other error ends the copy.
type refusal string

func (r refusal) Error() string { return string(r) }

func refusef(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }

func (x *extractor) refuse(h *tar.Header, reason string) {
	x.refused.Count++
	if len(x.refused.Entries) < maxNamed {
		x.refused.Entries = append(x.refused.Entries, fmt.Sprintf("%s (%s)", quoted(h.Name), reason))
	}
}

// entry writes one entry, or keeps a link for later. It skips an entry that must not be written.
func (x *extractor) entry(h *tar.Header) error {
	k := kindOf(h)
	if k == aNote {
		return nil
	}
	name, err := x.local(h.Name)
	if err != nil {
		return err
	}
	x.count++
	x.names += len(name) + len(h.Linkname)
	if x.count > maxEntries || x.names > maxNameBytes {
		return fmt.Errorf("the archive exceeds %d entries or %d MiB of names, copy it in parts", maxEntries, maxNameBytes>>20)
	}
	if x.exclude != nil && name != "." && x.exclude(name) {
		return nil
	}
	err = x.make(h, name, k)
	if why, ok := errors.AsType[refusal](err); ok {
		x.refuse(h, string(why))
		return nil
	}
	return err
}

func (x *extractor) make(h *tar.Header, name string, k kind) error {
	if k == unknown {
		return refusal(whatIs(h))
	}
	if name == "." {
		if k == aFolder {
			return nil
		}
		return errors.New("a directory exists in place of the file")
	}
	if err := x.behindLink(name); err != nil {
		return err
	}
	switch was := x.seen[name]; {
	case was == aFolder && k == aFolder:
		return nil
	case was == aFolder:
		return errors.New("a directory exists in place of the file")
	case was != 0 && k == aFolder:
		return errors.New("a file exists in place of the directory")
	case was != 0:
		return refusal("duplicate name")
	}
	if err := x.parents(name); err != nil {
		return err
	}
	switch k {
	case aFolder:
		return x.folder(h, name)
	case aLink:
		return x.keepLink(h, name)
	case aHardLink:
		return x.hardLink(h, name)
	}
	if err := x.claim(h); err != nil {
		return err
	}
	if err := x.clear(name); err != nil {
		return err
	}
	return x.file(h, name)
}

// behindLink refuses a name below a link of this archive.
func (x *extractor) behindLink(name string) error {
	for i := range len(name) {
		if name[i] == '/' && x.seen[name[:i]] == aLink {
			return refusef("below link %s", quoted(name[:i]))
		}
	}
	return nil
}

// parents creates the parent directories of name, and refuses if one of them is a link.
func (x *extractor) parents(name string) error {
	for i := range len(name) {
		if name[i] != '/' || x.seen[name[:i]] == aFolder {
			continue
		}
		if err := x.folderAt(name[:i], 0o777); err != nil {
			return err
		}
	}
	return nil
}

// folderAt creates a directory unless it exists.
func (x *extractor) folderAt(name string, mode fs.FileMode) error {
	err := x.root.Mkdir(name, mode)
	if errors.Is(err, fs.ErrExist) {
		var info fs.FileInfo
		if info, err = x.root.Lstat(name); err != nil {
			return err
		}
		if info.Mode().Type() == fs.ModeSymlink {
			return refusef("%s is an existing link, which cp does not follow", quoted(name))
		}
		if !info.IsDir() {
			return errors.New("a file exists in place of the directory")
		}
	}
	if err != nil {
		return err
	}
	x.seen[name] = aFolder
	return nil
}

func (x *extractor) folder(h *tar.Header, name string) error {
	_, err := x.root.Lstat(name)
	fresh := errors.Is(err, fs.ErrNotExist)
	// Writable for us until its content is complete.
	if err := x.folderAt(name, h.FileInfo().Mode().Perm()|0o700); err != nil || !fresh {
		return err
	}
	x.folders = append(x.folders, folder{name: name, mode: folderMode(h), time: h.ModTime})
	return nil
}

// folderMode returns the mode bits of a directory that a copy keeps: permissions, setgid and sticky.
func folderMode(h *tar.Header) fs.FileMode {
	return h.FileInfo().Mode() & (fs.ModePerm | fs.ModeSetgid | fs.ModeSticky)
}

// claim refuses a sparse file that exceeds the limit.
func (x *extractor) claim(h *tar.Header) error {
	if !Sparse(h) {
		return nil
	}
	most, err := x.mostSparse()
	if err != nil {
		return fmt.Errorf("cannot get the copy limit: %w", err)
	}
	if h.Size > most-x.sparse {
		return refusef("sparse file of %d bytes, and the limit for sparse files is %d per copy", h.Size, most)
	}
	x.sparse += h.Size
	return nil
}

func (x *extractor) file(h *tar.Header, name string) error {
	// O_EXCL: never write through a link that another process creates.
	f, err := x.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, h.FileInfo().Mode().Perm())
	if err != nil {
		return err
	}
	content := &holes{f: f}
	n, err := io.Copy(content, x.in)
	x.result.Bytes += n
	if err == nil {
		err = content.end()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	x.result.Files++
	x.tell(h, name)
	x.seen[name] = aFile
	return x.root.Chtimes(name, h.ModTime, h.ModTime)
}

// tell records what the copy of a file drops.
func (x *extractor) tell(h *tar.Header, name string) {
	if h.FileInfo().Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
		x.result.SetID.Add(name)
	}
	for record := range h.PAXRecords {
		if strings.HasPrefix(record, "SCHILY.xattr.") {
			x.result.Attributes.Add(name)
			break
		}
	}
}

// holes writes a file and skips long runs of zeros: a sparse file uses no more disk here than in the environment.
type holes struct {
	f *os.File
	// skipped reports that trailing zeros were not written.
	skipped bool
}

// leastHole is the shortest run of zeros to skip, in bytes: the block size of most file systems.
const leastHole = 4096

func (w *holes) Write(p []byte) (int, error) {
	if w.skipped = len(p) >= leastHole && len(bytes.TrimLeft(p, "\x00")) == 0; w.skipped {
		_, err := w.f.Seek(int64(len(p)), io.SeekCurrent)
		return len(p), err
	}
	return w.f.Write(p)
}

// end sets the length of a file that ends with zeros.
func (w *holes) end() error {
	if !w.skipped {
		return nil
	}
	size, err := w.f.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	return w.f.Truncate(size)
}

func (x *extractor) hardLink(h *tar.Header, name string) error {
	target, err := x.local(h.Linkname)
	if err != nil || x.seen[target] != aFile {
		return refusef("hard link to %s, which is not a file in the copy", quoted(h.Linkname))
	}
	if err := x.clear(name); err != nil {
		return err
	}
	if err := x.root.Link(target, name); err != nil {
		return err
	}
	x.seen[name] = aFile
	return nil
}

// clear removes an existing file or link of that name.
// It returns an error for anything else and leaves it alone.
func (x *extractor) clear(name string) error {
	info, err := x.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() || info.Mode().Type() == fs.ModeSymlink {
		return x.root.Remove(name)
	}
	return fmt.Errorf("%s exists in place of the file", nameOf(info))
}

// finish creates the links and sets mode and time of directories, innermost first.
func (x *extractor) finish() error {
	if err := x.makeLinks(); err != nil {
		return err
	}
	for i := len(x.folders) - 1; i >= 0; i-- {
		f := x.folders[i]
		info, err := x.root.Lstat(f.name)
		if err != nil {
			return fmt.Errorf("cannot set mode: %w", err)
		}
		// Keep the permissions of the archive within the umask.
		if err := x.root.Chmod(f.name, info.Mode().Perm()&f.mode|f.mode&^fs.ModePerm); err != nil {
			return fmt.Errorf("cannot set mode: %w", err)
		}
		if err := x.root.Chtimes(f.name, f.time, f.time); err != nil {
			return fmt.Errorf("cannot set time: %w", err)
		}
	}
	return nil
}
