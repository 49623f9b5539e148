package unpack_test

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/cli/unpack"
)

type entry = tar.Header

func file(name, content string) entry {
	return entry{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content)), PAXRecords: map[string]string{"BOTHY.content": content}}
}

func folder(name string) entry { return entry{Name: name, Typeflag: tar.TypeDir, Mode: 0o755} }

func link(name, target string) entry {
	return entry{Name: name, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777}
}

func hard(name, target string) entry {
	return entry{Name: name, Typeflag: tar.TypeLink, Linkname: target}
}

func archive(t testing.TB, entries ...entry) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, h := range entries {
		content := h.PAXRecords["BOTHY.content"]
		h.PAXRecords = maps.Clone(h.PAXRecords)
		delete(h.PAXRecords, "BOTHY.content")
		if h.ModTime.IsZero() {
			h.ModTime = time.Unix(1_700_000_000, 0)
		}
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

// tree gives everything below dir: contents of files, "-> x" for links, "/" for folders.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			all[rel] = "/"
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(p)
			all[rel] = "-> " + target
			return err
		default:
			content, err := os.ReadFile(p)
			all[rel] = string(content)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func mustWrite(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func mustLink(t testing.TB, target, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// As cp -r does: what lands where. base is the source's name, src the archive's topmost.
func TestPlaces(t *testing.T) {
	one := []entry{folder("src"), file("src/a", "A"), folder("src/sub"), file("src/sub/b", "B")}
	for _, c := range []struct {
		name     string
		entries  []entry
		dest     string
		contents bool
		want     map[string]string
		err      string
	}{
		{"folder becomes the name", one, "new", false, map[string]string{"new": "/", "new/a": "A", "new/sub": "/", "new/sub/b": "B"}, ""},
		{"folder becomes the name with a slash", one, "new/", false, map[string]string{"new": "/", "new/a": "A", "new/sub": "/", "new/sub/b": "B"}, ""},
		{"folder goes into a folder", one, "there", false, map[string]string{"there/got": "/", "there/got/a": "A", "there/got/sub": "/", "there/got/sub/b": "B"}, ""},
		{"contents go into a folder", one, "there", true, map[string]string{"there/a": "A", "there/sub": "/", "there/sub/b": "B"}, ""},
		{"contents become the name", one, "new", true, map[string]string{"new": "/", "new/a": "A", "new/sub": "/", "new/sub/b": "B"}, ""},
		{"folder onto a file", one, "old", false, nil, "it is a file, and the source is a directory"},
		{"folder into nothing", one, "no/new", false, nil, "no such file or directory"},
		{"file becomes the name", []entry{file("src", "A")}, "new", false, map[string]string{"new": "A"}, ""},
		{"file replaces a file", []entry{file("src", "A")}, "old", false, map[string]string{"old": "A"}, ""},
		{"file goes into a folder", []entry{file("src", "A")}, "there/", false, map[string]string{"there/got": "A"}, ""},
		{"file with a slash", []entry{file("src", "A")}, "new/", false, nil, "no such directory"},
		{"file onto a file with a slash", []entry{file("src", "A")}, "old/", false, nil, "not a directory"},
		{"file into nothing", []entry{file("src", "A")}, "no/new", false, nil, "no such file or directory"},
		{"file through a link that the user named", []entry{file("src", "A")}, "tofile", false, map[string]string{"old": "A"}, ""},
		{"a folder over a link", one, "linked", false, nil, "it is a link, not a directory"},
		{"nothing", nil, "new", false, nil, "it is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			mustWrite(t, filepath.Join(dir, "old"), "old")
			mustWrite(t, filepath.Join(dir, "there", "kept"), "kept")
			mustLink(t, "old", filepath.Join(dir, "tofile"))
			mustLink(t, "there", filepath.Join(dir, "linked", "got"))
			want := tree(t, dir)
			for k, v := range c.want {
				want[k] = v
			}
			dest := dir + "/" + c.dest
			_, err := unpack.Tar(archive(t, c.entries...), "got", dest, unpack.Options{Contents: c.contents})
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error = %v, want %q", err, c.err)
			}
			if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRightsTimesAndHardLinks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	old := time.Unix(1_500_000_000, 0)
	readOnly := entry{Name: "src/ro", Typeflag: tar.TypeDir, Mode: 0o500, ModTime: old}
	setuid := file("src/ro/setuid", "x")
	setuid.Mode, setuid.ModTime = 0o4755, old
	if _, err := unpack.Tar(archive(t, folder("src"), readOnly, setuid, hard("src/ro/again", "src/ro/setuid")), "src", dir, unpack.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "ro"), 0o700) })
	for name, mode := range map[string]fs.FileMode{"ro": fs.ModeDir | 0o500, "ro/setuid": 0o755} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != mode || !info.ModTime().Equal(old) {
			t.Errorf("%s: mode %v, time %v, want %v, %v", name, info.Mode(), info.ModTime(), mode, old)
		}
	}
	a, err := os.Stat(filepath.Join(dir, "ro/setuid"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.Stat(filepath.Join(dir, "ro/again"))
	if err != nil || !os.SameFile(a, b) {
		t.Errorf("the hard link is another file: %v", err)
	}
}

func TestADeviceThatTheUserNamedIsLeftAlone(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := unpack.Tar(archive(t, file("src", "x")), "src", pipe, unpack.Options{})
	if err == nil || !strings.Contains(err.Error(), "use - for stdout") {
		t.Errorf("error = %v", err)
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode().Type() != fs.ModeNamedPipe {
		t.Errorf("the pipe is %v, %v", info, err)
	}
}

func TestABrokenArchiveIsAnError(t *testing.T) {
	whole := archive(t, folder("src"), file("src/a", strings.Repeat("x", 2000))).Bytes()
	for _, n := range []int{100, 600, 1100, 2000} {
		if _, err := unpack.Tar(bytes.NewReader(whole[:n]), "src", filepath.Join(t.TempDir(), "new"), unpack.Options{}); err == nil {
			t.Errorf("cut at %d bytes: no error", n)
		}
	}
}

// What of a file's mode is dropped is told, as are its attributes; folders keep whose their files become and who may remove them.
func TestModesAreKeptOrTold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	top, shared, tool, marked := folder("src"), folder("src/shared"), file("src/tool", "x"), file("src/marked", "y")
	top.Mode, shared.Mode, tool.Mode = 0o2775, 0o1777, 0o6755
	shared.ModTime, tool.ModTime = time.Unix(1790000000, 999999999), time.Unix(1790000000, 1)
	marked.PAXRecords["SCHILY.xattr.user.x"] = "1"
	for _, e := range []*entry{&shared, &tool} {
		e.Format = tar.FormatPAX
	}
	result, err := unpack.Tar(archive(t, top, shared, tool, marked), "src", dir, unpack.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if result.SetID.String() != "tool" || result.Attributes.String() != "marked" {
		t.Errorf("told: set-id %q, attributes %q", result.SetID.String(), result.Attributes.String())
	}
	for name, want := range map[string]fs.FileMode{".": fs.ModeDir | fs.ModeSetgid, "shared": fs.ModeDir | fs.ModeSticky, "tool": 0} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode()&^fs.ModePerm != want {
			t.Errorf("%s has mode %v, %v, want %v", name, info.Mode(), err, want)
		}
		if at := map[string]time.Time{"shared": shared.ModTime, "tool": tool.ModTime}[name]; !at.IsZero() && !info.ModTime().Equal(at) {
			t.Errorf("%s is of %d, want %d", name, info.ModTime().UnixNano(), at.UnixNano())
		}
	}
}

// Zeros take no room: a file that is mostly hole inside would fill the disk here.
func TestLongRunsOfZerosAreHoles(t *testing.T) {
	const size = 8 << 20
	for name, content := range map[string]string{
		"only zeros": strings.Repeat("\x00", size), "begins": "x" + strings.Repeat("\x00", size), "ends": strings.Repeat("\x00", size) + "x", "short": "\x00\x00",
	} {
		path := filepath.Join(t.TempDir(), "out")
		if _, err := unpack.Tar(archive(t, file("src", content)), "src", path, unpack.Options{}); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("%s: %d bytes came back, want %d and the same, %v", name, len(got), len(content), err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if used := info.Sys().(*syscall.Stat_t).Blocks * 512; used > size/2 {
			t.Errorf("%s takes %d bytes of the disk", name, used)
		}
	}
}

func TestWhatIsExcludedIsNotWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	result, err := unpack.Tar(archive(t, folder("src"), file("src/a", "A"), folder("src/skip"), file("src/skip/b", "B")), "src", dir,
		unpack.Options{Exclude: func(name string) bool { return strings.HasPrefix(name, "skip") }})
	if diff := cmp.Diff(map[string]string{"a": "A"}, tree(t, dir)); diff != "" || err != nil || result.Files != 1 {
		t.Errorf("%d files, %v (-want +got):\n%s", result.Files, err, diff)
	}
}
