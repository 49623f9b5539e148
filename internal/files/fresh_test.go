package files_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/files"
)

var errWrong = errors.New("wrong")

// upper is what a file says, in capitals; one that says "wrong" is.
func upper(_ string, data []byte) (string, error) {
	if string(data) == "wrong" {
		return "", errWrong
	}
	return strings.ToUpper(string(data)), nil
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, f *files.Fresh[string], text string, cause error) {
	t.Helper()
	got, err := f.Get()
	if got != text || !errors.Is(err, cause) {
		t.Errorf("got %q, %v; want %q, %v", got, err, text, cause)
	}
}

// TestFresh: what changed is read again, and what was last right is kept while the file is wrong or away.
func TestFresh(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	read := 0
	f := files.NewFresh(path, nil, func(file string, data []byte) (string, error) {
		read++
		return upper(file, data)
	})
	want(t, f, "", fs.ErrNotExist)
	write(t, path, "a")
	want(t, f, "A", nil)
	want(t, f, "A", nil)
	if read != 1 {
		t.Errorf("read %d times while it stayed the same", read)
	}
	write(t, path, "wrong")
	want(t, f, "A", errWrong)
	write(t, path, "bb")
	want(t, f, "BB", nil)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	want(t, f, "BB", fs.ErrNotExist)
	write(t, path, "bb")
	want(t, f, "BB", nil)
}

// TestFreshRefused: what check refuses is not read, and no file is read that is too long.
func TestFreshRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "a")
	refuse := func(fs.FileInfo) error { return errWrong }
	want(t, files.NewFresh(path, refuse, upper), "", errWrong)
	write(t, path, strings.Repeat("a", 1<<20+1))
	if _, err := files.NewFresh(path, nil, upper).Get(); err == nil || !strings.Contains(err.Error(), "the limit is 1048576") {
		t.Errorf("a file of more than 1 MiB: %v", err)
	}
}
