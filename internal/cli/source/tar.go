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

// Report is told how a copy goes on; it may be called from any goroutine, and each field may be nil.
type Report struct {
	// Bytes is called with the bytes of file content written so far.
	Bytes func(done int64)
	// Changed is called with the name of a file that was written to while it was read, and how many of its bytes had gone by
	// then and were replaced by zeros; -1 means that the file itself had gone.
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

// WriteTar streams the tree as it is now: what has gone since List is left out, a file that has grown is cut at the size it
// had when it was opened, one that has shrunk is filled up with zeros. Owners are left out: who unpacks says whose the files are. as
// names a folder that everything is put in, "" for none.
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

// TarBytes is how many bytes WriteTar would write now, but for the folder that everything may be put in.
func (t Tree) TarBytes() int64 {
	const block = 512
	total := size(2 * block)
	for _, e := range t.Entries {
		h := headerOf(e, e.Path)
		h.Size = e.Size
		// Each has a writer of its own, as none has the content that the next one's would wait for.
		if err := tar.NewWriter(&total).WriteHeader(h); err != nil {
			continue // it is told when it is packed
		}
		total += size((e.Size + block - 1) / block * block)
	}
	return int64(total)
}

// size counts what is written.
type size int64

func (s *size) Write(p []byte) (int, error) {
	*s += size(len(p))
	return len(p), nil
}

// WriteFile streams one regular file as a tar with a single entry of that name.
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
	// done counts the bytes of content.
	done int64
}

func newPacker(w io.Writer, report Report) *packer {
	return &packer{w: w, tar: tar.NewWriter(w), report: report}
}

// Write writes content of the present entry.
func (p *packer) Write(b []byte) (int, error) {
	n, err := p.tar.Write(b)
	p.done += int64(n)
	p.report.bytes(p.done)
	return n, err
}

// header is one with times to the nanosecond, which only the PAX format has.
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

// headerOf is an entry's header; that of a file has no size yet.
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
	// Without nonBlocking a pipe that took the file's place would hang us.
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
		return errors.New("it was a file and is none any more")
	}
	return p.file(f, info, name)
}

// file writes a file that was found as info says when it was opened.
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

// changed reports whether a file was written to since info was taken.
func changed(f *os.File, info fs.FileInfo) bool {
	now, err := f.Stat()
	return err == nil && (now.Size() != info.Size() || !now.ModTime().Equal(info.ModTime()))
}

// zeros reads as zeros without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
