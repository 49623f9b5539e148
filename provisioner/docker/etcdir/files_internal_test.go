package etcdir

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestCopyEtc: a copy is what was copied, to the owner, the rights and the time, links as links wherever they lead; one that cannot be
// finished leaves nothing.
func TestCopyEtc(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	from, to := filepath.Join(dir, "images", "x"), filepath.Join(dir, "spare", "x.0")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(from, "a", "b"), 0o750))
	must(os.MkdirAll(filepath.Dir(to), 0o700))
	must(os.WriteFile(filepath.Join(from, "passwd"), []byte("root:x:0:0\n"), 0o600))
	must(os.WriteFile(filepath.Join(from, "a", "b", "tool"), []byte("x"), 0o600))
	must(os.Symlink("/usr/share/nowhere", filepath.Join(from, "a", "out")))
	must(os.Symlink("../passwd", filepath.Join(from, "a", "in")))
	if os.Geteuid() == 0 {
		must(os.Chown(filepath.Join(from, "passwd"), 7, 42))
		must(os.Lchown(filepath.Join(from, "a", "out"), 8, 43))
	}
	must(os.Chmod(filepath.Join(from, "passwd"), 0o640))
	must(os.Chmod(filepath.Join(from, "a", "b", "tool"), 0o755|fs.ModeSetuid))
	must(os.Chmod(filepath.Join(from, "a", "b"), 0o777|fs.ModeSticky))
	old := time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)
	must(os.Chtimes(filepath.Join(from, "passwd"), old, old))
	must(copyEtc(from, to))
	if diff := cmp.Diff(contents(t, from), contents(t, to)); diff != "" {
		t.Errorf("the copy (-want +got):\n%s", diff)
	}

	must(os.Mkdir(to+".d", 0o700))
	must(os.WriteFile(filepath.Join(to+".d", "x"), nil, 0o600)) // a folder that cannot be replaced
	if err := copyEtc(from, to+".d"); err == nil {
		t.Error("a copy was put over a folder with something in it")
	}
	if parts, err := filepath.Glob(filepath.Join(dir, "part-*")); err != nil || len(parts) > 0 {
		t.Errorf("left behind: %v (%v)", parts, err)
	}
}

// contents tells what is in a folder. The times are those of files: a folder's change with what is put into it.
func contents(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, at)
		if err != nil {
			return err
		}
		more := ""
		switch {
		case info.Mode().IsRegular():
			text, err := os.ReadFile(at)
			if err != nil {
				return err
			}
			more = fmt.Sprintf("%s %q", info.ModTime().UTC(), text)
		case info.Mode()&fs.ModeSymlink != 0:
			if more, err = os.Readlink(at); err != nil {
				return err
			}
		}
		owner, _ := info.Sys().(*syscall.Stat_t)
		all = append(all, fmt.Sprintf("%s %s %d:%d %s", rel, info.Mode(), owner.Uid, owner.Gid, more))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
