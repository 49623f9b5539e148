package source_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/source"
)

// plant makes files from path to content; a path with a slash at its end is a folder, a content "-> x" a link.
func plant(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		target, link := strings.CutPrefix(content, "-> ")
		switch {
		case err != nil:
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		case link:
			err = os.Symlink(target, path)
		default:
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func paths(tree source.Tree) []string {
	var all []string
	for _, e := range tree.Entries {
		all = append(all, e.Path)
	}
	return all
}

func list(t *testing.T, dir string) source.Tree {
	t.Helper()
	tree, err := source.List(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestGitChoosesTheFiles(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	plant(t, dir, map[string]string{
		".gitignore": "*.o\n/out/\n", "main.c": "1", "sub/util.c": "2", "sub/util.o": "3", "deleted.c": "4", "out/x": "5",
		"link": "-> sub/util.c", "odd\nname \xff": "6", "kept.o": "7",
	})
	git(t, dir, "add", "-A")
	git(t, dir, "add", "-f", "kept.o")
	git(t, dir, "commit", "-qm", "x")
	plant(t, dir, map[string]string{"new.c": "8"})
	if err := os.Remove(filepath.Join(dir, "deleted.c")); err != nil {
		t.Fatal(err)
	}
	tree := list(t, dir)
	want := []string{".gitignore", "kept.o", "link", "main.c", "new.c", "odd\nname \xff", "sub", "sub/util.c"}
	if diff := cmp.Diff(want, paths(tree)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if !tree.Git || tree.Files != 7 || tree.Bytes != int64(len("*.o\n/out/\n")+5) {
		t.Errorf("git = %v, files = %d, bytes = %d", tree.Git, tree.Files, tree.Bytes)
	}
	// A folder of the repository is taken by itself, and hooks' variables do not lead elsewhere.
	t.Setenv("GIT_DIR", filepath.Join(t.TempDir(), "elsewhere"))
	if diff := cmp.Diff([]string{"util.c"}, paths(list(t, filepath.Join(dir, "sub")))); diff != "" {
		t.Errorf("files of sub (-want +got):\n%s", diff)
	}
	// A folder that git ignores as a whole was asked for by name, so it is taken whole.
	tree = list(t, filepath.Join(dir, "out"))
	if diff := cmp.Diff([]string{"x"}, paths(tree)); diff != "" || tree.Git {
		t.Errorf("files of out, git = %v (-want +got):\n%s", tree.Git, diff)
	}
}

func TestSubmodulesAndInnerRepositories(t *testing.T) {
	lib, dir := t.TempDir(), t.TempDir()
	git(t, lib, "init", "-q")
	plant(t, lib, map[string]string{"lib.c": "1", ".gitignore": "*.o"})
	git(t, lib, "add", "-A")
	git(t, lib, "commit", "-qm", "x")
	git(t, dir, "init", "-q")
	git(t, dir, "submodule", "--quiet", "add", lib, "vendor/lib")
	plant(t, dir, map[string]string{"vendor/lib/lib.o": "2", "vendor/lib/new.c": "3", "inner/": ""})
	git(t, filepath.Join(dir, "inner"), "init", "-q")
	plant(t, dir, map[string]string{"inner/in.c": "4"})
	want := []string{".gitmodules", "inner", "inner/in.c", "vendor", "vendor/lib", "vendor/lib/.gitignore", "vendor/lib/lib.c", "vendor/lib/new.c"}
	if diff := cmp.Diff(want, paths(list(t, dir))); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	git(t, dir, "commit", "-qm", "x")
	git(t, dir, "submodule", "--quiet", "deinit", "--all", "--force")
	want = []string{".gitmodules", "inner", "inner/in.c", "vendor", "vendor/lib"}
	if diff := cmp.Diff(want, paths(list(t, dir))); diff != "" {
		t.Errorf("files without the submodule's (-want +got):\n%s", diff)
	}
}

func TestListingRunsNothingOfTheRepository(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	ran := filepath.Join(t.TempDir(), "ran")
	hook := filepath.Join(dir, "monitor")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\ntouch "+ran+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	git(t, dir, "config", "core.fsmonitor", hook)
	list(t, dir)
	if _, err := os.Stat(ran); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the repository's file system monitor was run")
	}
}

func TestAFolderWithoutGit(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{"a": "1", "empty/": "", "sub/.git/config": "2", "sub/b": "3", "gone": "-> nowhere"})
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	tree := list(t, dir)
	if diff := cmp.Diff([]string{"a", "empty", "gone", "sub", "sub/b"}, paths(tree)); diff != "" || tree.Git {
		t.Errorf("files, git = %v (-want +got):\n%s", tree.Git, diff)
	}
	if diff := cmp.Diff([]string{"pipe"}, tree.Skipped); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
	whole, err := source.Folder(dir)
	if err != nil || !slices.Contains(paths(whole), "sub/.git/config") {
		t.Errorf("Folder = %v, %v, want .git in it, too", paths(whole), err)
	}
}

func TestALinkThatLeadsOutIsNamed(t *testing.T) {
	for name, target := range map[string]string{
		"absolute": "/etc/passwd", "up": "../x", "deep/up": "../../x", "through": "self/..", "within by an absolute name": "",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if target == "" {
				target = filepath.Join(dir, "self")
			}
			plant(t, dir, map[string]string{"self": "-> .", name: "-> " + target})
			_, err := source.List(t.Context(), dir)
			if err == nil || !strings.Contains(err.Error(), name+" is a link to "+target) {
				t.Errorf("error = %v, want one that names %s", err, name)
			}
		})
	}
}

func TestCheckNamesTheBiggest(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{"small": "1", "big/one": strings.Repeat("x", 3000), "two": strings.Repeat("x", 2000)})
	tree := list(t, dir)
	if err := tree.Check(5001, format.Bytes); err != nil {
		t.Errorf("Check at the very limit: %v", err)
	}
	err := tree.Check(5000, format.Bytes)
	want := "source " + dir + " is 4.9 KiB in 3 files, over the limit of 4.9 KiB; biggest: big/one (2.9 KiB), two (2 KiB), small (1 B)"
	if _, ok := errors.AsType[*source.TooLarge](err); !ok || err.Error() != want {
		t.Errorf("Check = %v, want %q", err, want)
	}
}

type member struct {
	Name, Link, Content string
	Kind                byte
	Mode                int64
}

func members(t *testing.T, r io.Reader) []member {
	t.Helper()
	var all []member
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, member{h.Name, h.Linkname, string(content), h.Typeflag, h.Mode})
	}
}

func TestWriteTar(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("long/", 60) + "name"
	plant(t, dir, map[string]string{"run.sh": "#!/bin/sh", "link": "-> run.sh", "gone": "x", "grows": "12", "\xff\xfe": "odd", long: "deep"})
	if err := os.Chmod(filepath.Join(dir, "run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	tree := list(t, dir)
	if err := os.Remove(filepath.Join(dir, "gone")); err != nil {
		t.Fatal(err)
	}
	plant(t, dir, map[string]string{"grows": "12345"})
	var b bytes.Buffer
	var progress []int64
	if err := tree.WriteTar(t.Context(), &b, "top", func(n int64) { progress = append(progress, n) }); err != nil {
		t.Fatal(err)
	}
	got := members(t, &b)
	got = slices.DeleteFunc(got, func(m member) bool { return strings.HasPrefix(m.Name, "top/long") && m.Content == "" })
	want := []member{
		{"top/", "", "", tar.TypeDir, 0o755},
		{"top/grows", "", "12345", tar.TypeReg, 0o644},
		{"top/link", "run.sh", "", tar.TypeSymlink, 0o777},
		{"top/" + long, "", "deep", tar.TypeReg, 0o644},
		{"top/run.sh", "", "#!/bin/sh", tar.TypeReg, 0o755},
		{"top/\xff\xfe", "", "odd", tar.TypeReg, 0o644},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("archive (-want +got):\n%s", diff)
	}
	if !slices.IsSorted(progress) || progress[len(progress)-1] != 5+4+9+3 {
		t.Errorf("progress = %v", progress)
	}
}

func TestWriteTarRefusesWhatWasExchanged(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{"file": "x"})
	tree := list(t, dir)
	file := filepath.Join(dir, "file")
	for name, exchange := range map[string]func() error{
		"a link out": func() error { return os.Symlink("/etc/passwd", file) },
		"a pipe":     func() error { return syscall.Mkfifo(file, 0o600) },
	} {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := exchange(); err != nil {
			t.Fatal(err)
		}
		if err := tree.WriteTar(t.Context(), io.Discard, "", nil); err == nil || !strings.Contains(err.Error(), "pack file") {
			t.Errorf("%s in the file's place: error = %v, want one that names it", name, err)
		}
	}
}

func TestWriteTarEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{"file": "x"})
	tree := list(t, dir)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	if err := tree.WriteTar(ctx, io.Discard, "", nil); !errors.Is(err, stop) {
		t.Errorf("WriteTar = %v, want the context's cause", err)
	}
}

type shrunk struct{ fs.FileInfo }

func (shrunk) Size() int64        { return 5 }
func (shrunk) Mode() fs.FileMode  { return 0o600 }
func (shrunk) ModTime() time.Time { return time.Unix(1, 0) }

func TestWriteFile(t *testing.T) {
	var b bytes.Buffer
	if err := source.WriteFile(&b, "name", strings.NewReader("12345 and more"), shrunk{}, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]member{{"name", "", "12345", tar.TypeReg, 0o600}}, members(t, &b)); diff != "" {
		t.Errorf("archive (-want +got):\n%s", diff)
	}
	if err := source.WriteFile(io.Discard, "name", strings.NewReader("123"), shrunk{}, nil); err == nil || !strings.Contains(err.Error(), "shrank") {
		t.Errorf("a file that shrank: error = %v", err)
	}
}
