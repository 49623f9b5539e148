package unpack

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestStayInside(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"self": ".", "loop1": "loop2", "loop2": "loop1", "etc": "/etc", "deep": "a/b",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		at, target string
		want       bool
	}{
		{"x", "a", true},
		{"x", "a/b/../..", true},
		{"x", "missing/file", true},
		{"a/b/x", "../../a", true},
		{"x", "", true},
		{"x", "loop1", true},
		{"x", "self/self/a", true},
		{"x", "..", false},
		{"a/x", "../..", false},
		{"a/x", "../../a", false},
		{"x", "/etc/passwd", false},
		{"x", "self/..", false},
		{"x", "self/self/../a", false},
		{"x", "etc/passwd", false},
		{"x", "deep/../../..", false},
		{"x", "a/../../x", false},
	} {
		if got := stayInside(root, c.at, c.target); got != c.want {
			t.Errorf("StayInside(%q -> %q) = %v, want %v", c.at, c.target, got, c.want)
		}
	}
}

// Whatever links there are: one that is said to stay inside, and that the kernel can follow, ends inside.
func TestWhatStaysInsideIsNeverOutsideForTheKernel(t *testing.T) {
	names := []string{"a", "b", "a/c", "a/d", "b/e"}
	part := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "..", ".", "missing"})
	rapid.Check(t, func(rt *rapid.T) {
		// The tree lies deep, so that what leads out still leads somewhere.
		top := filepath.Join(t.TempDir(), fmt.Sprint(rapid.Uint64().Draw(rt, "run")))
		dir := filepath.Join(top, "r")
		for _, d := range []string{"a", "b"} {
			if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
				rt.Fatal(err)
			}
		}
		made := map[string]string{}
		for _, name := range names[2:] {
			target := strings.Join(rapid.SliceOfN(part, 1, 4).Draw(rt, "target of "+name), "/")
			if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
				rt.Fatal(err)
			}
			made[name] = target
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = root.Close() }()
		for name, target := range made {
			end, err := filepath.EvalSymlinks(filepath.Join(dir, name))
			if err != nil {
				continue
			}
			if outside := end != dir && !strings.HasPrefix(end, dir+"/"); outside && stayInside(root, name, target) {
				rt.Errorf("%s -> %s is said to stay inside and ends at %s; links: %v", name, target, end, made)
			}
		}
	})
}
