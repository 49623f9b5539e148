package source

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// Report receives the progress of a copy, from any goroutine. Each field may be nil.
type Report struct {
	// Bytes is called with the bytes of file content written so far.
	Bytes func(done int64)
	// Changed is called with the name of a file that changed during the copy, and the number of missing bytes that were padded with
	// zeros; -1 means that the file was removed.
	Changed func(name string, padded int64)
}

func (r Report) bytes(done int64) {
	if r.Bytes != nil {
		r.Bytes(done)
	}
}

func (r Report) changed(name string, padded int64) {
	if r.Changed != nil {
		r.Changed(name, padded)
	}
}

// WriteTar streams the tree as it is now. It skips entries that were removed since List, truncates a file that grows to its size at
// opening, and pads one that shrinks with zeros. It omits owners: the receiver sets them. as is a directory to put everything in, ""
// for none.
func (t Tree) WriteTar(ctx context.Context, w io.Writer, as string, report Report) error {
	root, err := os.OpenRoot(t.Dir)
	if err != nil {
		return fmt.Errorf("open source: %w", err)
	}
	defer func() { _ = root.Close() }() // opened to read: nothing can be lost
	p := newPacker(w, report)
	if as != "" {
		info, err := root.Stat(".")
		if err != nil {
			return fmt.Errorf("read source: %w", err)
		}
		if err := p.entry(root, Entry{Path: ".", Mode: info.Mode(), ModTime: info.ModTime()}, as); err != nil {
			return fmt.Errorf("pack %s: %w", as, err)
		}
	}
	for _, e := range t.Entries {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := p.entry(root, e, path.Join(as, e.Path)); err != nil {
			return fmt.Errorf("pack %s: %w", e.Path, err)
		}
	}
	if err := p.tar.Close(); err != nil {
		return fmt.Errorf("end archive: %w", err)
	}
	return nil
}

// TarBytes returns how many bytes WriteTar would write now, without the directory as.
func (t Tree) TarBytes() int64 {
	const block = 512
	total := size(2 * block)
	for _, e := range t.Entries {
		h := headerOf(e, e.Path)
		h.Size = e.Size
		// Use a writer per entry: a shared one would expect the content of the previous entry.
		if err := tar.NewWriter(&total).WriteHeader(h); err != nil {
			continue // WriteTar reports the error
		}
		total += size((e.Size + block - 1) / block * block)
	}
	return int64(total)
}

// size counts the bytes that are written.
type size int64

func (s *size) Write(p []byte) (int, error) {
	*s += size(len(p))
	return len(p), nil
}

// WriteFile streams one regular file as a tar with a single entry called name.
func WriteFile(w io.Writer, name string, f *os.File, info fs.FileInfo, report Report) error {
	p := newPacker(w, report)
	if err := p.file(f, info, name); err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	if err := p.tar.Close(); err != nil {
		return fmt.Errorf("end archive: %w", err)
	}
	return nil
}

// packer writes one archive.
type packer struct {
	w      io.Writer
	tar    *tar.Writer
	report Report
	// done is the number of content bytes so far.
	done int64
}

func newPacker(w io.Writer, report Report) *packer {
	return &packer{w: w, tar: tar.NewWriter(w), report: report}
}

// Write writes content of the current entry.
func (p *packer) Write(b []byte) (int, error) {
	n, err := p.tar.Write(b)
	p.done += int64(n)
	p.report.bytes(p.done)
	return n, err
}

// header returns a PAX header: only PAX has times in nanoseconds.
func header(name string, mode fs.FileMode) *tar.Header {
	h := &tar.Header{Name: name, Mode: int64(mode.Perm()), Format: tar.FormatPAX}
	if mode.IsDir() {
		if mode&fs.ModeSticky != 0 {
			h.Mode |= 0o1000
		}
		if mode&fs.ModeSetgid != 0 {
			h.Mode |= 0o2000
		}
	}
	return h
}

// headerOf returns the header of an entry, for a file without its size.
func headerOf(e Entry, name string) *tar.Header {
	h := header(name, e.Mode)
	h.Typeflag, h.ModTime = tar.TypeReg, e.ModTime
	switch {
	case e.Mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case e.Mode.Type() == fs.ModeSymlink:
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.Link, 0o777
	}
	return h
}

func (p *packer) entry(root *os.Root, e Entry, name string) error {
	if !e.Mode.IsRegular() {
		return p.tar.WriteHeader(headerOf(e, name))
	}
	// Without nonBlocking, a pipe that replaced the file would block us.
	f, err := root.OpenFile(e.Path, os.O_RDONLY|nonBlocking, 0)
	if errors.Is(err, fs.ErrNotExist) {
		p.report.changed(name, -1)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // opened to read: nothing can be lost
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is no longer a regular file")
	}
	return p.file(f, info, name)
}

// file writes an open file; info is its state at opening.
func (p *packer) file(f *os.File, info fs.FileInfo, name string) error {
	if parts := storedParts(f, info); parts != nil {
		return p.sparse(f, info, name, parts)
	}
	h := header(name, info.Mode())
	h.Typeflag, h.Size, h.ModTime = tar.TypeReg, info.Size(), info.ModTime()
	if err := p.tar.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.Copy(p, io.LimitReader(f, h.Size))
	if err != nil {
		return err
	}
	if missing := h.Size - n; missing > 0 {
		if _, err := io.CopyN(p, zeros{}, missing); err != nil {
			return err
		}
		p.report.changed(name, missing)
		return nil
	}
	if changed(f, info) {
		p.report.changed(name, 0)
	}
	return nil
}

// changed reports whether a file changed since info.
func changed(f *os.File, info fs.FileInfo) bool {
	now, err := f.Stat()
	return err == nil && (now.Size() != info.Size() || !now.ModTime().Equal(info.ModTime()))
}

// zeros is an endless reader of zero bytes.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
