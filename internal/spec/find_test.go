package spec_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/spec"
)

// tree makes files (and folders, names with a slash at the end) below a new folder.
func tree(t *testing.T, names ...string) string {
	t.Helper()
	top := t.TempDir()
	for _, name := range names {
		path := filepath.Join(top, name)
		if strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(path, 0o755))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte("version: 1\n"), 0o644))
	}
	return top
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFindGoesUpToTheRepositoryAndNoFurther(t *testing.T) {
	top := tree(t, "bothy.yaml", "repo/.git/", "repo/bothy.yaml", "repo/a/b/", "repo/c/bothy.yaml", "bare/.git/", "bare/x/",
		"worktree/.git", "worktree/x/", "loose/x/", "folder/.git/", "folder/bothy.yaml/")
	for from, want := range map[string]string{
		"repo": "repo/bothy.yaml", "repo/a/b": "repo/bothy.yaml", "repo/c": "repo/c/bothy.yaml",
		"bare/x": "", "worktree/x": "", "loose/x": "", ".": "bothy.yaml",
	} {
		got, err := spec.Find(filepath.Join(top, from))
		if want == "" {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("from %s: %q, %v; want fs.ErrNotExist", from, got, err)
			}
			continue
		}
		if err != nil || got != filepath.Join(top, want) {
			t.Errorf("from %s: %q, %v; want %s", from, got, err, want)
		}
	}
	if _, err := spec.Find(filepath.Join(top, "folder")); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder named bothy.yaml gives %v", err)
	}
}

// What Find leaves out is told: above a repository's root, or above a folder that is in none.
func TestAboveIsWhatFindLeavesOut(t *testing.T) {
	top := tree(t, "bothy.yaml", "repo/.git/", "repo/bothy.yaml", "repo/a/b/", "loose/x/y/", "loose/bothy.yaml", "folder/bothy.yaml/", "folder/x/")
	for from, want := range map[string]string{
		"repo/a/b": "bothy.yaml", "loose/x/y": "loose/bothy.yaml", "loose": "bothy.yaml", "folder/x": "bothy.yaml",
	} {
		if got := spec.Above(filepath.Join(top, from)); got != filepath.Join(top, want) {
			t.Errorf("above %s: %q, want %s", from, got, want)
		}
	}
	if got := spec.Above("/"); got != "" {
		t.Errorf("above the root of all: %q", got)
	}
}

func TestSourceDirStaysInTheRepository(t *testing.T) {
	top := tree(t, "outside/", "repo/.git/", "repo/bothy.yaml", "repo/src/x", "repo/sub/bothy.yaml", "repository/")
	must(t, os.Symlink("../outside", filepath.Join(top, "repo/out")))
	must(t, os.Symlink("../repository", filepath.Join(top, "repo/neighbour")))
	must(t, os.Symlink("../src", filepath.Join(top, "repo/sub/in")))
	top, err := filepath.EvalSymlinks(top)
	must(t, err)
	for _, c := range []struct{ file, source, want string }{
		{"repo/bothy.yaml", ".", "repo"},
		{"repo/bothy.yaml", "src", "repo/src"},
		{"repo/sub/bothy.yaml", ".", "repo/sub"},
		{"repo/sub/bothy.yaml", "in", "repo/src"},
		{"repo/bothy.yaml", "out", ""},
		{"repo/bothy.yaml", "neighbour", ""},
		{"repo/bothy.yaml", "missing", ""},
		{"repo/bothy.yaml", "src/x", ""},
	} {
		s := spec.Spec{File: filepath.Join(top, c.file), Source: c.source}
		got, err := s.SourceDir()
		if c.want == "" {
			if err == nil {
				t.Errorf("source %s of %s is %s, want an error", c.source, c.file, got)
			}
			continue
		}
		if err != nil || got != filepath.Join(top, c.want) {
			t.Errorf("source %s of %s is %q, %v; want %s", c.source, c.file, got, err, c.want)
		}
	}
	if got, err := (spec.Spec{Source: spec.NoSource}).SourceDir(); got != "" || err != nil {
		t.Errorf("no source is %q, %v", got, err)
	}
}
