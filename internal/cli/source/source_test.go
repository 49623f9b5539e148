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
	"golang.org/x/sys/unix"

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
	tree, err := source.List(t.Context(), dir, source.Options{})
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
	if diff := cmp.Diff([]string{"sub"}, tree.LeftHistory); diff != "" {
		t.Errorf("told to be without history (-want +got):\n%s", diff)
	}
	whole, err := source.Folder(dir, nil)
	if err != nil || !slices.Contains(paths(whole), "sub/.git/config") {
		t.Errorf("Folder = %v, %v, want .git in it, too", paths(whole), err)
	}
}

// TestALinkThatLeadsOutStaysALink: it is sent as it is and never followed, so nothing of what it leads to leaves this machine.
func TestALinkThatLeadsOutStaysALink(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	plant(t, filepath.Dir(secret), map[string]string{"secret/key": "private"})
	dir := t.TempDir()
	links := map[string]string{"absolute": "/etc/passwd", "up": "../x", "deep/up": "../../x", "folder": secret}
	for name, target := range links {
		plant(t, dir, map[string]string{name: "-> " + target})
	}
	tree := list(t, dir)
	var b bytes.Buffer
	if err := tree.WriteTar(t.Context(), &b, "", source.Report{}); err != nil {
		t.Fatal(err)
	}
	for _, m := range members(t, &b) {
		if m.Kind != tar.TypeDir && (m.Kind != tar.TypeSymlink || m.Link != links[m.Name]) {
			t.Errorf("the archive has %+v, want links alone", m)
		}
		delete(links, m.Name)
	}
	if len(links) > 0 {
		t.Errorf("the archive lacks %v", links)
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
	want := "cannot copy " + dir + ": 4.9 KiB in 3 files exceeds the limit of 4.9 KiB; largest files: big/one (2.9 KiB), two (2 KiB), small (1 B)"
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
	if err := tree.WriteTar(t.Context(), &b, "top", source.Report{Bytes: func(n int64) { progress = append(progress, n) }}); err != nil {
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
	var whole bytes.Buffer
	now := list(t, dir)
	if err := now.WriteTar(t.Context(), &whole, "", source.Report{}); err != nil || now.TarBytes() != int64(whole.Len()) {
		t.Errorf("TarBytes = %d, the archive has %d, %v", now.TarBytes(), whole.Len(), err)
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
		if err := tree.WriteTar(t.Context(), io.Discard, "", source.Report{}); err == nil || !strings.Contains(err.Error(), "pack file") {
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
	if err := tree.WriteTar(ctx, io.Discard, "", source.Report{}); !errors.Is(err, stop) {
		t.Errorf("WriteTar = %v, want the context's cause", err)
	}
}

// TestTimesAreKeptToTheNanosecond: make builds by them.
func TestTimesAreKeptToTheNanosecond(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{"in": "1", "out": "2", "sub/": "", "link": "-> in"})
	want := map[string]time.Time{"in": time.Unix(1790000000, 400000001), "out": time.Unix(1790000000, 200000000), "sub/": time.Unix(1790000000, 999999999)}
	for name, at := range want {
		if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(filepath.Join(dir, "in"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var tree, single bytes.Buffer
	if err := errors.Join(list(t, dir).WriteTar(t.Context(), &tree, "", source.Report{}), source.WriteFile(&single, "in", f, info, source.Report{})); err != nil {
		t.Fatal(err)
	}
	for _, archive := range []*bytes.Buffer{&tree, &single} {
		for tr := tar.NewReader(archive); ; {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if at, ok := want[h.Name]; ok && !h.ModTime.Equal(at) {
				t.Errorf("%s is of %d, want %d", h.Name, h.ModTime.UnixNano(), at.UnixNano())
			}
		}
	}
}

// TestModesAreKeptOrTold: the sticky and setgid bits of folders are kept; set-id bits of files are dropped, and told.
func TestModesAreKeptOrTold(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{"shared/": "", "group/": "", "tool": "x"})
	for name, mode := range map[string]fs.FileMode{"shared": 0o777 | fs.ModeSticky, "group": 0o775 | fs.ModeSetgid, "tool": 0o755 | fs.ModeSetuid} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	tree := list(t, dir)
	var b bytes.Buffer
	if err := tree.WriteTar(t.Context(), &b, "", source.Report{}); err != nil {
		t.Fatal(err)
	}
	want := []member{
		{"group/", "", "", tar.TypeDir, 0o2775}, {"shared/", "", "", tar.TypeDir, 0o1777}, {"tool", "", "x", tar.TypeReg, 0o755},
	}
	if diff := cmp.Diff(want, members(t, &b)); diff != "" {
		t.Errorf("archive (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"dropped set-user-ID and set-group-ID bits: tool"}, tree.Notes()); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

func TestExtendedAttributesAreTold(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{"plain": "1", "marked": "2"})
	if err := unix.Setxattr(filepath.Join(dir, "marked"), "user.bothy", []byte("x"), 0); err != nil {
		t.Skip("this file system takes no attributes:", err)
	}
	if diff := cmp.Diff([]string{"dropped extended attributes: marked"}, list(t, dir).Notes()); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

// TestFilesInFluxAreFilledUpAndTold: a log that is truncated while it is read must not end the copy.
func TestFilesInFluxAreFilledUpAndTold(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{"a": "12345", "gone": "x", "grows": "1", "log": strings.Repeat("x", 1<<20), "z": "end"})
	tree := list(t, dir)
	if err := os.Remove(filepath.Join(dir, "gone")); err != nil {
		t.Fatal(err)
	}
	changed := map[string]int64{}
	done := int64(0)
	var b bytes.Buffer
	err := tree.WriteTar(t.Context(), &b, "", source.Report{
		Bytes: func(n int64) {
			switch {
			case done < 6 && n >= 6: // of a and grows
				plant(t, dir, map[string]string{"grows": "12"})
			case done < 100 && n >= 100: // in the middle of log
				if err := os.Truncate(filepath.Join(dir, "log"), 10); err != nil {
					t.Error(err)
				}
			}
			done = n
		},
		Changed: func(name string, padded int64) { changed[name] = min(padded, 1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members(t, &b) {
		if m.Name == "log" && (len(m.Content) != 1<<20 || !strings.HasSuffix(m.Content, "\x00")) {
			t.Errorf("log has %d bytes, want 1 MiB that ends with zeros", len(m.Content))
		}
	}
	if diff := cmp.Diff(map[string]int64{"gone": -1, "grows": 0, "log": 1}, changed); diff != "" {
		t.Errorf("told to have changed (-want +got):\n%s", diff)
	}
}

func TestExclude(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{"a.o": "1", "src/b.o": "2", "src/b.c": "3", "node_modules/x/y": "4", "sub/node_modules/z": "5", "out/keep": "6", "sub/out/gone": "7"})
	tree, err := source.Folder(dir, source.Exclude{"*.o", "node_modules", "sub/out"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"out", "out/keep", "src", "src/b.c", "sub"}, paths(tree)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"[", ""} {
		if err := (source.Exclude{bad}).Check(); err == nil {
			t.Errorf("the pattern %q is taken", bad)
		}
	}
}
