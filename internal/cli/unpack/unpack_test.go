package unpack_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
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
		h.PAXRecords = nil
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
		{"folder onto a file", one, "old", false, nil, "it is a file, and the source is a folder"},
		{"folder into nothing", one, "no/new", false, nil, "no such file or directory"},
		{"file becomes the name", []entry{file("src", "A")}, "new", false, map[string]string{"new": "A"}, ""},
		{"file replaces a file", []entry{file("src", "A")}, "old", false, map[string]string{"old": "A"}, ""},
		{"file goes into a folder", []entry{file("src", "A")}, "there/", false, map[string]string{"there/got": "A"}, ""},
		{"file with a slash", []entry{file("src", "A")}, "new/", false, nil, "there is no such folder"},
		{"file onto a file with a slash", []entry{file("src", "A")}, "old/", false, nil, "not a directory"},
		{"file into nothing", []entry{file("src", "A")}, "no/new", false, nil, "no such file or directory"},
		{"file through a link that the user named", []entry{file("src", "A")}, "tofile", false, map[string]string{"old": "A"}, ""},
		{"a link comes as a link", []entry{link("src", "old")}, "new", false, map[string]string{"new": "-> old"}, ""},
		{"nothing", nil, "new", false, nil, "it is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			mustWrite(t, filepath.Join(dir, "old"), "old")
			mustWrite(t, filepath.Join(dir, "there", "kept"), "kept")
			if err := os.Symlink("old", filepath.Join(dir, "tofile")); err != nil {
				t.Fatal(err)
			}
			want := tree(t, dir)
			for k, v := range c.want {
				want[k] = v
			}
			dest := dir + "/" + c.dest
			_, err := unpack.Tar(archive(t, c.entries...), "got", dest, c.contents)
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error = %v, want %q", err, c.err)
			}
			if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

// Each archive is unpacked where files and links of the user stand; nothing outside of the target may change.
func TestHostileArchives(t *testing.T) {
	fine := file("src/z", "fine")
	for _, c := range []struct {
		name    string
		entries []entry
		err     string
		// partly says that the rest is written.
		partly bool
	}{
		{"a name with ..", []entry{folder("src"), file("src/../../evil", "x"), fine}, "leads out", false},
		{"a name with .. that stays", []entry{folder("src"), file("src/a/../b", "x"), fine}, "leads out", false},
		{"only ..", []entry{folder("..")}, "leads out", false},
		{"an absolute name", []entry{folder("src"), file("/evil", "x"), fine}, "leads out", false},
		{"an absolute name first", []entry{file("/evil", "x")}, "leads out", false},
		{"an empty name", []entry{folder("src"), {Typeflag: tar.TypeReg}}, "leads out", false},
		{"an absolute link", []entry{folder("src"), link("src/l", "/etc/passwd"), fine}, `"src/l" (a link to "/etc/passwd", outside of the target)`, true},
		{"a link out", []entry{folder("src"), link("src/l", "../victim"), fine}, `outside of the target`, true},
		{"a link out by others", []entry{folder("src"), link("src/self", "."), link("src/l", "self/.."), fine}, `by way of other links`, true},
		{"a link out by a later one", []entry{folder("src"), link("src/l", "self/.."), link("src/self", "."), fine}, `by way of other links`, true},
		{"a file through a link out", []entry{folder("src"), link("src/d", ".."), file("src/d/victim", "x"), fine}, `outside of the target`, true},
		{"a file through the user's link out", []entry{folder("src"), file("src/users/victim", "x")}, "escapes", false},
		{"a folder in the place of the user's link out", []entry{folder("src"), folder("src/users")}, "escapes", false},
		{"a hard link to the user's file", []entry{folder("src"), hard("src/h", "src/mine"), file("src/h", "x"), fine}, `which is not in the copy`, true},
		{"a hard link out", []entry{folder("src"), hard("src/h", "../victim"), fine}, `which is not in the copy`, true},
		{"a hard link to a link", []entry{folder("src"), link("src/l", "mine"), hard("src/h", "src/l"), fine}, `which is not in the copy`, true},
		{"a device", []entry{folder("src"), {Name: "src/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}, {Name: "src/sda", Typeflag: tar.TypeBlock, Devmajor: 8}, fine}, `"src/null" (a device); "src/sda" (a device)`, true},
		{"a pipe", []entry{folder("src"), {Name: "src/p", Typeflag: tar.TypeFifo}, fine}, `"src/p" (a pipe)`, true},
		{"a file onto a folder", []entry{folder("src"), folder("src/d"), file("src/d", "x")}, "a folder in the place of the file", false},
		{"a folder onto a file", []entry{folder("src"), file("src/d", "x"), folder("src/d")}, "a file in the place of the folder", false},
		{"a file onto the target itself", []entry{folder("src"), file("src", "x")}, "a folder in the place of the file", false},
		{"a name that acts on a terminal", []entry{folder("src"), {Name: "src/\x1b]0;x\a", Typeflag: tar.TypeFifo}, fine}, `"src/\x1b]0;x\a" (a pipe)`, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			target := filepath.Join(dir, "target")
			mustWrite(t, filepath.Join(dir, "victim"), "precious")
			mustWrite(t, filepath.Join(target, "mine"), "mine")
			if err := os.Symlink("..", filepath.Join(target, "users")); err != nil {
				t.Fatal(err)
			}
			_, err := unpack.Tar(archive(t, c.entries...), "src", target, true)
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("error = %v, want %q in it", err, c.err)
			}
			if _, partly := errors.AsType[*unpack.Refused](err); partly != c.partly {
				t.Errorf("left out in part: %v, want %v: %v", partly, c.partly, err)
			}
			got := tree(t, dir)
			for name, want := range map[string]string{"victim": "precious", "target/mine": "mine", "target/users": "-> .."} {
				if got[name] != want {
					t.Errorf("%s = %q, want %q untouched", name, got[name], want)
				}
			}
			for name, content := range got {
				if !strings.HasPrefix(name, "target") && name != "victim" || name != "target/users" && strings.Contains(content, "..") {
					t.Errorf("there is %s: %q", name, content)
				}
			}
			if c.partly && got["target/z"] != "fine" {
				t.Errorf("what was harmless was not written: %v", got)
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
	if _, err := unpack.Tar(archive(t, folder("src"), readOnly, setuid, hard("src/ro/again", "src/ro/setuid")), "src", dir, false); err != nil {
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
	_, err := unpack.Tar(archive(t, file("src", "x")), "src", pipe, false)
	if err == nil || !strings.Contains(err.Error(), "use - for the standard output") {
		t.Errorf("error = %v", err)
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode().Type() != fs.ModeNamedPipe {
		t.Errorf("the pipe is %v, %v", info, err)
	}
}

// An archive of 2 KiB that claims a file of 64 MiB must not be given it: with a larger claim it would fill the disk.
func TestHolesAreNotFilled(t *testing.T) {
	var b bytes.Buffer
	pax := "GNU.sparse.major=1\nGNU.sparse.minor=0\nGNU.sparse.name=src/huge\nGNU.sparse.realsize=67108864\n"
	var records strings.Builder
	for line := range strings.SplitSeq(strings.TrimSpace(pax), "\n") {
		// A record begins with its own length, which has two digits here.
		records.WriteString(strconv.Itoa(len(line)+4) + " " + line + "\n")
	}
	sparseMap := "1\n0\n0\n"
	raw := func(name string, kind byte, content string) {
		block := make([]byte, 512)
		copy(block, name)
		copy(block[100:], "0000644\x00")
		copy(block[124:], fmt.Sprintf("%011o\x00", len(content)))
		copy(block[148:], "        ")
		block[156] = kind
		copy(block[257:], "ustar\x0000")
		sum := 0
		for _, c := range block {
			sum += int(c)
		}
		copy(block[148:], fmt.Sprintf("%06o\x00 ", sum))
		b.Write(block)
		b.WriteString(content + strings.Repeat("\x00", (512-len(content)%512)%512))
	}
	raw("src/", tar.TypeDir, "")
	raw("pax", tar.TypeXHeader, records.String())
	raw("src/x", tar.TypeReg, sparseMap+strings.Repeat("\x00", 512-len(sparseMap)))
	b.Write(make([]byte, 1024))
	dir := filepath.Join(t.TempDir(), "new")
	_, err := unpack.Tar(&b, "src", dir, false)
	if err == nil || !strings.Contains(err.Error(), "a file with holes") {
		t.Errorf("error = %v", err)
	}
	if got := tree(t, dir); len(got) != 0 {
		t.Errorf("written: %d entries", len(got))
	}
}

func TestABrokenArchiveIsAnError(t *testing.T) {
	whole := archive(t, folder("src"), file("src/a", strings.Repeat("x", 2000))).Bytes()
	for _, n := range []int{100, 600, 1100, 2000} {
		if _, err := unpack.Tar(bytes.NewReader(whole[:n]), "src", filepath.Join(t.TempDir(), "new"), false); err == nil {
			t.Errorf("cut at %d bytes: no error", n)
		}
	}
}

// No bytes at all may write outside of the target, or panic.
func FuzzTar(f *testing.F) {
	f.Add(archive(f, folder("src"), link("src/l", ".."), file("src/l/victim", "x")).Bytes())
	f.Add(archive(f, folder("src"), file("src/a", "A"), hard("src/b", "src/a"), file("src/b", "B")).Bytes())
	f.Add(archive(f, link("src", "."), file("src/../victim", "x")).Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		mustWrite(t, filepath.Join(dir, "victim"), "precious")
		mustWrite(t, filepath.Join(dir, "target", "mine"), "mine")
		if err := os.Symlink("..", filepath.Join(dir, "target", "users")); err != nil {
			t.Fatal(err)
		}
		_, _ = unpack.Tar(bytes.NewReader(data), "src", filepath.Join(dir, "target"), true)
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if content, err := os.ReadFile(filepath.Join(dir, "victim")); err != nil || string(content) != "precious" || len(entries) != 2 {
			t.Errorf("outside of the target: victim = %q, %v, entries %v", content, err, entries)
		}
	})
}
