package unpack_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bothy-env/bothy/internal/cli/unpack"
)

// A link that leaves the copied folder and comes back by its name leads into the copy, whatever the copy is called. One that only
// looks like it is refused as any other that leads out.
func TestLinksThatComeBackByTheFoldersName(t *testing.T) {
	for _, c := range []struct{ at, target, want string }{
		{"src/self", "../src", "."},
		{"src/self", "../src/", "."},
		{"src/f", "../src/a/file", "a/file"},
		{"src/a/up", "../../src", ".."},
		{"src/a/f", "../../src/a/file", "../a/file"},
		{"src/a/f", "../../src//a", "../a"},
		{"src/out", "../srcs", ""},
		{"src/out", "../src/..", ""},
		{"src/out", "../src/../../etc", ""},
		{"src/out", "../../src", ""},
		{"src/a/out", "../../src/../b", ""},
		{"src/out", "a/../../src", ""},
		{"src/out", "./../src", ""},
		{"src/out", "/src", ""},
	} {
		dir := filepath.Join(t.TempDir(), "another")
		archive := archive(t, folder("src"), folder("src/a"), file("src/a/file", "x"), link(c.at, c.target))
		_, err := unpack.Tar(archive, "src", dir, unpack.Options{})
		got, readErr := os.Readlink(filepath.Join(dir, c.at[len("src/"):]))
		if c.want == "" {
			if err == nil || readErr == nil {
				t.Errorf("%s -> %s: made as %q, %v; want it refused", c.at, c.target, got, err)
			}
			continue
		}
		if err != nil || readErr != nil || got != c.want {
			t.Errorf("%s -> %s: made as %q, %v, %v; want %q", c.at, c.target, got, err, readErr, c.want)
		}
		if real, err := filepath.EvalSymlinks(filepath.Join(dir, c.at[len("src/"):])); err != nil || len(real) < len(dir) {
			t.Errorf("%s -> %s leads to %s, %v", c.at, c.target, real, err)
		}
	}
}
