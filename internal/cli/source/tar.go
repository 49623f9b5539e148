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

	"golang.org/x/sys/unix"
)

// WriteTar streams the tree as it is now: what has gone since List is left out, a file that has grown is cut at the size it
// had when it was opened. Owners are left out: who unpacks says whose the files are. as names a folder that
// everything is put in, "" for none. progress is called with the bytes of file content written so far; it may be nil.
func (t Tree) WriteTar(ctx context.Context, w io.Writer, as string, progress func(done int64)) error {
	root, err := os.OpenRoot(t.Dir)
	if err != nil {
		return fmt.Errorf("open source: %w", err)
	}
	defer func() { _ = root.Close() }() // opened to read: nothing can be lost
	if progress == nil {
		progress = func(int64) {}
	}
	tw := tar.NewWriter(w)
	count := &counter{w: tw, report: progress}
	if as != "" {
		info, err := root.Stat(".")
		if err != nil {
			return fmt.Errorf("read source: %w", err)
		}
		if err := writeEntry(root, tw, count, Entry{Path: ".", Mode: info.Mode(), ModTime: info.ModTime()}, as); err != nil {
			return fmt.Errorf("pack %s: %w", as, err)
		}
	}
	for _, e := range t.Entries {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := writeEntry(root, tw, count, e, path.Join(as, e.Path)); err != nil {
			return fmt.Errorf("pack %s: %w", e.Path, err)
		}
	}
	if err := tw.Close(); err != nil {
		return fmt.Errorf("end archive: %w", err)
	}
	return nil
}

func writeEntry(root *os.Root, tw *tar.Writer, content io.Writer, e Entry, name string) error {
	h := &tar.Header{Name: name, Mode: int64(e.Mode.Perm()), ModTime: e.ModTime}
	switch {
	case e.Mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
		return tw.WriteHeader(h)
	case e.Mode.Type() == fs.ModeSymlink:
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.Link, 0o777
		return tw.WriteHeader(h)
	}
	// Without O_NONBLOCK a pipe that took the file's place would hang us.
	f, err := root.OpenFile(e.Path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
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
	h.Typeflag, h.Size, h.ModTime = tar.TypeReg, info.Size(), info.ModTime()
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.Copy(content, io.LimitReader(f, h.Size))
	if err == nil && n < h.Size {
		err = errors.New("it shrank while it was read")
	}
	return err
}

type counter struct {
	w      io.Writer
	n      int64
	report func(int64)
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	c.report(c.n)
	return n, err
}

// WriteFile streams one regular file of size bytes as a tar with a single entry of that name.
func WriteFile(w io.Writer, name string, content io.Reader, info fs.FileInfo, progress func(done int64)) error {
	if progress == nil {
		progress = func(int64) {}
	}
	tw := tar.NewWriter(w)
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: info.Size(), Mode: int64(info.Mode().Perm()), ModTime: info.ModTime()}
	if err := tw.WriteHeader(h); err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	n, err := io.Copy(&counter{w: tw, report: progress}, io.LimitReader(content, h.Size))
	if err == nil && n < h.Size {
		err = errors.New("it shrank while it was read")
	}
	if err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	if err := tw.Close(); err != nil {
		return fmt.Errorf("end archive: %w", err)
	}
	return nil
}
