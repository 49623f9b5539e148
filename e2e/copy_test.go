package e2e_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
)

// TestHonestCopies: what is copied is what there was, or the difference is told: times to the nanosecond, modes of shared folders,
// files that cannot be read, patterns, links.
func TestHonestCopies(t *testing.T) {
	needsEngine(t)
	t.Parallel()
	d := start(t)
	src := t.TempDir()
	order := map[string]time.Time{"out.txt": time.Unix(1790000000, 200000000), "in.txt": time.Unix(1790000000, 400000000), "Makefile": time.Unix(1790000000, 700000001)}
	for name, at := range order {
		write(t, filepath.Join(src, name), name)
		if err := os.Chtimes(filepath.Join(src, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	shared := filepath.Join(src, "shared")
	if err := errors.Join(os.Mkdir(shared, 0o777), os.Chmod(shared, 0o777|fs.ModeSticky), os.Symlink("/usr/share/zoneinfo/UTC", filepath.Join(src, "localtime"))); err != nil {
		t.Fatal(err)
	}
	d.bothy("up", "--source", src, "--name", "web").want(t, 0)
	d.bothyIn(src, nil, "cp", "./.", "web:again").want(t, 0)
	for _, at := range []string{"", "again/"} {
		for name, want := range order {
			d.bothy("exec", "web", "--", "stat", "-c", "%.9Y", at+name).want(t, 0, fmt.Sprintf("%d.%09d", want.Unix(), want.Nanosecond()))
		}
		d.bothy("exec", "web", "--", "stat", "-c", "%a", at+"shared").want(t, 0, "1777")
		d.bothy("exec", "web", "--", "readlink", at+"localtime").want(t, 0, "/usr/share/zoneinfo/UTC")
	}
	back := t.TempDir()
	d.bothy("cp", "web:again/*", back).want(t, 0)
	d.bothy("cp", "web:again/in.txt", filepath.Join(back, "alone")).want(t, 0)
	order["alone"] = order["in.txt"]
	for name, want := range order {
		if info, err := os.Stat(filepath.Join(back, name)); err != nil || !info.ModTime().Equal(want) {
			t.Errorf("%s came back with %v, %v, want %s", name, info, err, want)
		}
	}
	if info, err := os.Stat(filepath.Join(back, "shared")); err != nil || info.Mode()&fs.ModeSticky == 0 {
		t.Errorf("the shared folder came back as %v, %v", info, err)
	}

	d.bothy("exec", "web", "--", "sh", "-c", "mkdir -p ur/sub; echo 1 >ur/1; echo 2 >ur/2; echo s >ur/sub/s; chmod 0 ur/2 ur/sub; ln -s ur lur").want(t, 0)
	d.bothy("cp", "web:ur", filepath.Join(back, "ur")).want(t, 1, "ur/2", "ur/sub", "Permission denied", "1 file")
	d.bothy("cp", "web:ur/2", filepath.Join(back, "two")).want(t, 1, "Permission denied")
	d.bothy("cp", "web:/etc", filepath.Join(back, "etc")).want(t, 1, "shadow", "Permission denied")
	d.bothy("exec", "web", "--", "sh", "-c", "chmod 644 ur/2; rmdir ur/sub 2>/dev/null; chmod 755 ur/sub").want(t, 0)
	d.bothy("cp", "web:lur", filepath.Join(back, "followed")).want(t, 0, "3 files")
	d.bothy("down", "web").want(t, 0)
}

// TestHostileCopies: whatever is at either side, nothing is written outside of the target, no link is followed out of it, no
// device is read or made; each refusal names what it refused.
func TestHostileCopies(t *testing.T) {
	needsEngine(t)
	t.Parallel()
	d := start(t)
	d.bothy("up", "--source", "none", "--name", "web").want(t, 0)
	t.Run("in by the command line", func(t *testing.T) { copyIn(t, d) })
	t.Run("in by the API", func(t *testing.T) { hostileArchives(t, d) })
	t.Run("out", func(t *testing.T) { copyOut(t, d) })
	d.bothy("down", "web").want(t, 0)
}

func copyIn(t *testing.T, d *daemon) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	write(t, secret, "not for copying")
	write(t, filepath.Join(dir, "file"), "content")
	// A path of the user's own may lead anywhere inside, with the rights of dev and no more.
	d.bothyIn(dir, nil, "cp", "file", "web:../../etc/cron.d/x").want(t, 1, "/etc/cron.d", "Permission denied")
	d.bothyIn(dir, nil, "cp", "file", "web:/etc/passwd").want(t, 1, "/etc")
	d.bothy("exec", "web", "--", "grep", "-q", "^root:", "/etc/passwd").want(t, 0)
	d.bothyIn(dir, nil, "cp", "file", "web:sub/../../workspace/./kept").want(t, 0)
	d.bothy("exec", "web", "--", "cat", "/workspace/kept").want(t, 0, "content")

	for _, link := range []string{secret, "../secret", "sub/../../secret"} {
		tree := t.TempDir()
		if err := errors.Join(os.Mkdir(filepath.Join(tree, "sub"), 0o700), os.Symlink(link, filepath.Join(tree, "link"))); err != nil {
			t.Fatal(err)
		}
		d.bothyIn(dir, nil, "cp", tree, "web:links").want(t, 0)
		d.bothy("exec", "web", "--", "sh", "-c", "readlink /workspace/links/link; cat /workspace/links/link; rm -r /workspace/links").want(t, 0, link)
	}

	d.bothyIn(dir, nil, "cp", "/dev/zero", "web:zero").want(t, 2, "/dev/zero")
	pipe := filepath.Join(dir, "tree", "pipe")
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "tree"), 0o700), unix.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "tree", "file"), "content")
	d.bothyIn(dir, nil, "cp", pipe, "web:pipe").want(t, 2, pipe) // and does not wait for a writer
	d.bothyIn(dir, nil, "cp", "tree", "web:").want(t, 0, "skipped special files (sockets, pipes, devices): pipe")
	d.bothy("exec", "web", "--", "ls", "/workspace/tree").want(t, 0, "file")
	d.bothy("exec", "web", "--", "test", "-e", "/workspace/tree/pipe").want(t, 1)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// hostileArchives are sent as a client of its own might send them.
func hostileArchives(t *testing.T, d *daemon) {
	file := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644} }
	link := func(kind byte, name, to string) tar.Header {
		return tar.Header{Typeflag: kind, Name: name, Linkname: to, Mode: 0o777}
	}
	for name, entries := range map[string][]tar.Header{
		"..":                      {file("../escaped")},
		".. in the middle":        {file("a/../../escaped")},
		"absolute":                {file("/tmp/escaped")},
		"absolute link":           {link(tar.TypeSymlink, "out", "/tmp"), file("out/escaped")},
		"relative link":           {link(tar.TypeSymlink, "out", "../tmp"), file("out/escaped")},
		"two links":               {link(tar.TypeSymlink, "a", "."), link(tar.TypeSymlink, "a/b", "../tmp"), file("b/escaped")},
		"hard link out":           {link(tar.TypeLink, "escaped", "/etc/passwd")},
		"hard link up":            {link(tar.TypeLink, "escaped", "../etc/passwd")},
		"character device":        {{Typeflag: tar.TypeChar, Name: "escaped", Devmajor: 1, Devminor: 5, Mode: 0o666}},
		"block device":            {{Typeflag: tar.TypeBlock, Name: "escaped", Devmajor: 253, Mode: 0o666}},
		"pipe":                    {{Typeflag: tar.TypeFifo, Name: "escaped", Mode: 0o666}},
		"harmless, then harmful":  {file("harmless"), file("../escaped")},
		"file in place of folder": {file("x"), file("x/escaped")},
	} {
		t.Run(name, func(t *testing.T) {
			var archive bytes.Buffer
			w := tar.NewWriter(&archive)
			for _, h := range entries {
				if err := w.WriteHeader(&h); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			err := d.client.CopyTo(t.Context(), "web", "/workspace", "", &archive)
			if code := client.CodeOf(err); code != wire.CodeInvalid {
				t.Errorf("%v (code %q), want it refused as %s", err, code, wire.CodeInvalid)
			}
			d.bothy("exec", "web", "--", "sh", "-c", "test ! -e /tmp/escaped -a ! -e /escaped -a ! -e /workspace/escaped").want(t, 0)
		})
	}
	// The set-user-id bit and a foreign owner are dropped, not refused: tar files have them often.
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "setuid", Mode: 0o6755, Uid: 0, Gid: 0}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), d.client.CopyTo(t.Context(), "web", "/workspace", "", &archive)); err != nil {
		t.Fatal(err)
	}
	d.bothy("exec", "web", "--", "stat", "-c", "%a %U", "/workspace/setuid").want(t, 0, "755 dev")
	cut := bytes.NewReader(archive.Bytes()[:100])
	if err := d.client.CopyTo(t.Context(), "web", "/workspace", "", cut); client.CodeOf(err) != wire.CodeInvalid {
		t.Errorf("an archive that is cut short: %v, want code %s", err, wire.CodeInvalid)
	}
}

func copyOut(t *testing.T, d *daemon) {
	d.bothy("exec", "web", "--", "sh", "-c", `
mkdir -p /workspace/out/sub && cd /workspace/out && echo content >file &&
ln -s /etc/passwd absolute && ln -s ../../etc/passwd up && ln -s file inside && mkfifo pipe && ln file hard`).want(t, 0)

	outer := t.TempDir()
	target := filepath.Join(outer, "target")
	d.bothy("cp", "web:out", target).want(t, 1, "absolute", "up", "pipe", "skipped")
	for _, refused := range []string{"absolute", "up", "pipe"} {
		if _, err := os.Lstat(filepath.Join(target, refused)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was written: %v", refused, err)
		}
	}
	for _, kept := range []string{"file", "inside", "hard"} {
		if text, err := os.ReadFile(filepath.Join(target, kept)); err != nil || strings.TrimSpace(string(text)) != "content" {
			t.Errorf("%s holds %q, %v", kept, text, err)
		}
	}

	// A link that is there already at this side is not written through.
	outside := filepath.Join(outer, "outside")
	write(t, outside, "untouched")
	second := filepath.Join(outer, "second")
	if err := errors.Join(os.MkdirAll(filepath.Join(second, "out"), 0o700), os.Symlink(outside, filepath.Join(second, "out", "file")),
		os.Symlink(outer, filepath.Join(second, "out", "sub"))); err != nil {
		t.Fatal(err)
	}
	d.bothy("exec", "web", "--", "sh", "-c", "cd /workspace/out && rm -f absolute up pipe && echo deep >sub/deep").want(t, 0)
	d.bothy("cp", "web:out", second)
	if text, err := os.ReadFile(outside); err != nil || string(text) != "untouched" {
		t.Errorf("a link at this side was written through: %q, %v", text, err)
	}
	if _, err := os.Lstat(filepath.Join(outer, "deep")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file was written through a linked folder: %v", err)
	}

	d.bothy("cp", "web:/dev/null", filepath.Join(outer, "null")).want(t, 1)
	d.bothy("cp", "web:/dev/zero", "-").want(t, 1)
	if info, err := os.Lstat(filepath.Join(outer, "null")); err == nil {
		t.Errorf("a device was copied out as %s", info.Mode())
	}
	d.bothy("cp", "web:/etc/shadow", filepath.Join(outer, "shadow")).want(t, 1)
	d.bothy("cp", "web:never", outer).want(t, 3, "never")
	d.bothy("cp", "web:out/file", filepath.Join(outer, "no", "such", "folder", "x")).want(t, 1)
}
