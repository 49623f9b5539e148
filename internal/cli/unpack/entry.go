package unpack

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// entry writes one entry to name, which is local to the target. What must not be written is refused, not an error.
func (x *extractor) entry(content io.Reader, h *tar.Header, name string) error {
	if sparse(h) {
		x.refuse(h, "a file with holes")
		return nil
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return x.folder(h, name)
	case tar.TypeReg:
		return x.file(content, h, name)
	case tar.TypeSymlink:
		if path.IsAbs(h.Linkname) || strings.HasPrefix(path.Join(path.Dir(name), h.Linkname)+"/", "../") {
			x.refuse(h, fmt.Sprintf("a link to %q, outside of the target", h.Linkname))
			return nil
		}
		if err := x.clear(name); err != nil {
			return err
		}
		x.links = append(x.links, link{name: name, header: h})
		return x.root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		target, err := x.local(h.Linkname)
		if err != nil || !x.files[target] {
			x.refuse(h, fmt.Sprintf("a hard link to %q, which is not in the copy", h.Linkname))
			return nil
		}
		if target == name {
			return nil
		}
		if err := x.clear(name); err != nil {
			return err
		}
		x.files[name] = true
		return x.root.Link(target, name)
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeChar, tar.TypeBlock:
		x.refuse(h, "a device")
	case tar.TypeFifo:
		x.refuse(h, "a pipe")
	default:
		x.refuse(h, fmt.Sprintf("of unknown kind %q", h.Typeflag))
	}
	return nil
}

// sparse reports whether the file's holes are left out of the archive: a few bytes could then fill the disk.
func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}

func (x *extractor) folder(h *tar.Header, name string) error {
	if name == "." {
		return nil
	}
	if err := x.parents(name); err != nil {
		return err
	}
	// Writable for us until everything is in it.
	err := x.root.Mkdir(name, h.FileInfo().Mode().Perm()|0o700)
	if errors.Is(err, fs.ErrExist) {
		info, err := x.root.Stat(name)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return errors.New("there is a file in the place of the folder")
		}
		return nil
	}
	if err != nil {
		return err
	}
	info, err := x.root.Lstat(name)
	if err != nil {
		return err
	}
	// The umask has had its say; what is left of the archive's rights is kept.
	mode := info.Mode().Perm() & h.FileInfo().Mode().Perm()
	x.folders = append(x.folders, folder{name: name, mode: mode, time: h.ModTime})
	return nil
}

func (x *extractor) file(content io.Reader, h *tar.Header, name string) error {
	if err := x.clear(name); err != nil {
		return err
	}
	// O_EXCL: never through a link that somebody else puts there.
	f, err := x.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, h.FileInfo().Mode().Perm())
	if err != nil {
		return err
	}
	n, err := io.Copy(f, content)
	x.result.Bytes += n
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	x.result.Files++
	x.files[name] = true
	return x.root.Chtimes(name, h.ModTime, h.ModTime)
}

// clear makes room for a file or link: its folders are there after it, a file or link of that name is not.
// Whatever else is there is left alone, with an error.
func (x *extractor) clear(name string) error {
	if name == "." {
		return errors.New("there is a folder in the place of the file")
	}
	if err := x.parents(name); err != nil {
		return err
	}
	info, err := x.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case info.IsDir():
		return errors.New("there is a folder in the place of the file")
	case info.Mode().IsRegular(), info.Mode().Type() == fs.ModeSymlink:
		delete(x.files, name)
		return x.root.Remove(name)
	}
	return errors.New("there is a device or pipe in the place of the file")
}

func (x *extractor) parents(name string) error {
	dir := path.Dir(name)
	if dir == "." {
		return nil
	}
	return x.root.MkdirAll(dir, 0o777)
}
