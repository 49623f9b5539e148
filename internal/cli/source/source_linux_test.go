package source_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/internal/cli/source"
)

// asNobody takes from the rest of the test, when root runs it, the right to read everything.
func asNobody(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	runtime.LockOSThread()
	if _, err := unix.SetfsuidRetUid(65534); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := unix.SetfsuidRetUid(0); err == nil {
			runtime.UnlockOSThread() // else the thread ends with the test
		}
	})
}

// TestUnreadableFilesAreFoundBeforeAnythingIsSent: all of them, with their names.
func TestUnreadableFilesAreFoundBeforeAnythingIsSent(t *testing.T) {
	dir, err := os.MkdirTemp("", "bothy-source-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	plant(t, dir, map[string]string{"a": "1", "locked": "2", "shut/in": "3", "z": "4"})
	for _, name := range []string{"locked", "shut"} {
		if err := os.Chmod(filepath.Join(dir, name), 0); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := errors.Join(os.Chmod(filepath.Join(dir, "shut"), 0o700), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	asNobody(t)
	for name, find := range map[string]func() (source.Tree, error){
		"List":   func() (source.Tree, error) { return source.List(t.Context(), dir, source.Options{}) },
		"Folder": func() (source.Tree, error) { return source.Folder(dir, nil) },
	} {
		_, err := find()
		want := "cannot read files in " + dir + ": permission denied: shut, locked"
		if _, ok := errors.AsType[*source.Unreadable](err); !ok || err.Error() != want || !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: error = %v, want %q", name, err, want)
		}
	}
	if tree, err := source.Folder(dir, source.Exclude{"locked", "shut"}); err != nil || tree.Files != 2 {
		t.Errorf("without them: %d files, %v", tree.Files, err)
	}
}
