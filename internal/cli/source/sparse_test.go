//go:build linux

package source_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/cli/source"
)

// hollow makes a file of size bytes with data at some places and holes elsewhere, and gives its content.
func hollow(t *testing.T, path string, size int64, at ...int64) []byte {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, size)
	for _, n := range at {
		copy(content[n:], "data")
		if _, err := f.WriteAt([]byte("data"), n); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		t.Fatal(err)
	}
	return content
}

// Holes take no room on the way, what archive/tar reads of it is the file, and what follows is not disturbed.
func TestHolesAreSentAsHoles(t *testing.T) {
	dir := t.TempDir()
	const size = 64 << 20
	want := map[string][]byte{
		"a-all":    hollow(t, filepath.Join(dir, "a-all"), size),
		"b-begin":  hollow(t, filepath.Join(dir, "b-begin"), size, 0),
		"c-middle": hollow(t, filepath.Join(dir, "c-middle"), size, 10<<20, 30<<20+7),
		"d-end":    hollow(t, filepath.Join(dir, "d-end"), size, size-4),
		"e-odd":    hollow(t, filepath.Join(dir, "e-odd"), size+13, 1<<20),
	}
	if err := os.WriteFile(filepath.Join(dir, "z-plain"), []byte("plain"), 0o600); err != nil {
		t.Fatal(err)
	}
	want["z-plain"] = []byte("plain")
	tree := list(t, dir)
	var b bytes.Buffer
	var done int64
	if err := tree.WriteTar(t.Context(), &b, "", source.Report{Bytes: func(n int64) { done = n }}); err != nil {
		t.Fatal(err)
	}
	if len(tree.Sparse) != 5 {
		t.Skipf("this file system makes no holes: %d of 5 files have any", len(tree.Sparse))
	}
	if b.Len() > 1<<20 {
		t.Errorf("%d bytes were sent for files of nearly nothing", b.Len())
	}
	if done != tree.Bytes {
		t.Errorf("%d bytes were reported, want %d", done, tree.Bytes)
	}
	in := tar.NewReader(&b)
	for len(want) > 0 {
		h, err := in.Next()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(in)
		if err != nil || !bytes.Equal(content, want[h.Name]) {
			t.Errorf("%s: %d bytes, %v; want its %d", h.Name, len(content), err, len(want[h.Name]))
		}
		info, err := os.Stat(filepath.Join(dir, h.Name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(info.ModTime().UTC(), h.ModTime.UTC()); diff != "" || h.FileInfo().Mode().Perm() != info.Mode().Perm() {
			t.Errorf("%s: mode %v, time (-want +got):\n%s", h.Name, h.FileInfo().Mode(), diff)
		}
		delete(want, h.Name)
	}
	if _, err := in.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last: %v", err)
	}
}

// A file that loses what was in its parts while it is sent is padded and told, as any other.
func TestAHollowFileInFlux(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	_ = hollow(t, path, 64<<20, 0, 60<<20)
	if len(list(t, dir).Sparse) != 1 {
		t.Skip("this file system makes no holes")
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var padded int64
	// The header is written when the parts are known: the file shrinks then.
	out := &shrinking{path: path}
	if err := source.WriteFile(out, "log", f, info, source.Report{Changed: func(_ string, n int64) { padded = n }}); err != nil {
		t.Fatal(err)
	}
	if padded == 0 {
		t.Error("nobody was told that it shrank")
	}
	in := tar.NewReader(&out.Buffer)
	if h, err := in.Next(); err != nil || h.Size != info.Size() {
		t.Fatalf("%+v, %v", h, err)
	}
	if n, err := io.Copy(io.Discard, in); err != nil || n != info.Size() {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// shrinking cuts a file at the first byte that is written.
type shrinking struct {
	bytes.Buffer
	path string
}

func (s *shrinking) Write(p []byte) (int, error) {
	if s.Len() == 0 {
		if err := os.Truncate(s.path, 100); err != nil {
			return 0, err
		}
	}
	return s.Buffer.Write(p)
}
