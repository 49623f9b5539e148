package unpack_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/cli/unpack"
)

// yard is a folder as a user has it: a work tree with hooks and a Makefile, a sibling, and what an earlier copy left.
func yard(t testing.TB) (outside, dir string) {
	t.Helper()
	outside = t.TempDir()
	dir = filepath.Join(outside, "T")
	for _, name := range []string{"victim", "Makefile", ".git/hooks/pre-commit", "sub/victim2", "there/mine", "there/deep/mine"} {
		mustWrite(t, filepath.Join(dir, name), "precious")
	}
	mustWrite(t, filepath.Join(outside, "victim"), "precious")
	mustLink(t, "..", filepath.Join(dir, "there", "users"))
	mustLink(t, "deep", filepath.Join(dir, "there", "inner"))
	return outside, dir
}

// state gives all below dir with rights, apart from what is below but.
func state(t testing.TB, dir, but string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for name, what := range tree(t, dir) {
		if name == but || strings.HasPrefix(name, but+"/") {
			continue
		}
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = fmt.Sprint(info.Mode(), " ", what)
	}
	return all
}

// dests are the ways to say where a copy goes, and the one name that may change: below T.
var dests = []struct {
	name, dest, wall string
	contents         bool
}{
	{"into a folder", "", "src", false},
	{"as a new name", "new", "new", false},
	{"as a new name, contents", "new/", "new", true},
	{"into a folder that was there", "there", "there", true},
}

var plain = file("src/z", "fine")

// hostile are archives as something inside might write them; err is in the error, and partly says that all else is written.
var hostile = []struct {
	name    string
	entries []entry
	err     string
	partly  bool
}{
	// Links, and files through them.
	{"a link up and a file through it", []entry{folder("src"), link("src/l", ".."), file("src/l/.git/hooks/pre-commit", "EVIL"), file("src/l/Makefile", "EVIL"), plain}, "outside the copy", true},
	{"a link to a sibling and a file through it", []entry{folder("src"), link("src/l", "../sub"), file("src/l/victim2", "EVIL"), plain}, "outside the copy", true},
	{"a link inside and a file through it", []entry{folder("src"), folder("src/d"), link("src/l", "d"), file("src/l/x", "EVIL"), plain}, `"src/l/x" (below link "l")`, true},
	{"a link to itself and a file through it", []entry{folder("src"), link("src/l", "."), file("src/l/x", "EVIL"), plain}, `"src/l/x" (below link "l")`, true},
	{"a folder behind a link", []entry{folder("src"), link("src/l", "."), folder("src/l/x"), plain}, `"src/l/x" (below link`, true},
	{"a link behind a link", []entry{folder("src"), link("src/l", "."), link("src/l/x", "z"), plain}, `"src/l/x" (below link`, true},
	{"a hard link behind a link", []entry{folder("src"), plain, link("src/l", "."), hard("src/l/x", "src/z")}, `"src/l/x" (below link`, true},
	{"a file, then a link over its folder", []entry{folder("src"), file("src/l/Makefile", "x"), link("src/l", ".")}, "a directory exists in place of the file", false},
	{"a link, then a file of its name", []entry{folder("src"), link("src/l", "z"), file("src/l", "EVIL"), plain}, `"src/l" (duplicate name)`, true},
	{"a link, then a folder of its name", []entry{folder("src"), link("src/l", "z"), folder("src/l")}, "a file exists in place of the directory", false},
	{"an absolute link", []entry{folder("src"), link("src/l", "/etc/passwd"), plain}, `"src/l" (link to "/etc/passwd", outside the copy)`, true},
	{"a link out", []entry{folder("src"), link("src/l", "../victim"), plain}, "outside the copy", true},
	{"a link out from below", []entry{folder("src"), folder("src/a"), link("src/a/l", "../../victim"), plain}, "outside the copy", true},
	{"a link out by others", []entry{folder("src"), link("src/self", "."), link("src/l", "self/.."), plain}, "through other links", true},
	{"a link out by a later one", []entry{folder("src"), link("src/l", "self/.."), link("src/self", "."), plain}, "through other links", true},
	{"a link out by one of a later copy", []entry{folder("src"), link("src/l", "later/.."), plain}, "through other links", true},
	{"a link to nothing", []entry{folder("src"), {Name: "src/l", Typeflag: tar.TypeSymlink}, plain}, "link without target", true},
	{"a link to a name too long", []entry{folder("src"), link("src/l", strings.Repeat("x", 5000)), plain}, "of more than 4096 bytes", true},
	{"a link to a name too deep", []entry{folder("src"), link("src/l", strings.Repeat("x/", 300)), plain}, "or 255 elements", true},
	// The topmost entry.
	{"a topmost link to here", []entry{link("src", "."), file("src/victim", "EVIL")}, `is a link to "."`, false},
	{"a topmost link to hooks", []entry{link("src", ".git/hooks"), file("src/pre-commit", "EVIL")}, `is a link to ".git/hooks"`, false},
	{"a topmost link up", []entry{link("src", ".."), file("src/victim", "EVIL")}, `is a link to ".."`, false},
	{"a topmost link alone", []entry{link("src", "victim")}, `is a link to "victim"`, false},
	{"a topmost hard link", []entry{hard("src", "victim")}, "", false},
	{"a second topmost folder", []entry{folder("src"), plain, file("Makefile", "EVIL")}, `is not below "src"`, false},
	{"no topmost folder", []entry{file("src/z/x", "x")}, "does not start with its top directory", false},
	{"a file over the folder itself", []entry{folder("src"), file("src", "EVIL")}, "a directory exists in place of the file", false},
	{"a link over the folder itself", []entry{folder("src"), plain, link("src", "..")}, "a directory exists in place of the file", false},
	// Hard links.
	{"a hard link to the user's file", []entry{folder("src"), hard("src/h", "src/mine"), plain}, "which is not a file in the copy", true},
	{"a hard link out", []entry{folder("src"), hard("src/h", "../victim"), file("src/h", "a file of its own"), plain}, "which is not a file in the copy", true},
	{"an absolute hard link", []entry{folder("src"), hard("src/h", "/etc/passwd"), plain}, "which is not a file in the copy", true},
	{"a hard link to a link", []entry{folder("src"), link("src/l", "mine"), hard("src/h", "src/l"), plain}, "which is not a file in the copy", true},
	{"a hard link to itself", []entry{folder("src"), hard("src/h", "src/h"), plain}, "which is not a file in the copy", true},
	// Names.
	{"a name with ..", []entry{folder("src"), file("src/../../evil", "x"), plain}, "leads outside", false},
	{"a name with .. that stays", []entry{folder("src"), file("src/a/../b", "x"), plain}, "leads outside", false},
	{"only ..", []entry{folder("..")}, "leads outside", false},
	{"an absolute name", []entry{folder("src"), file("/evil", "x"), plain}, "leads outside", false},
	{"an absolute name first", []entry{file("/evil", "x")}, "leads outside", false},
	{"an empty name", []entry{folder("src"), {Typeflag: tar.TypeReg}}, "leads outside", false},
	{"a long name of PAX", []entry{folder("src"), {Name: "src/" + strings.Repeat("x", 5000), Typeflag: tar.TypeDir, Format: tar.FormatPAX}}, "the name has 5004 bytes", false},
	{"a long name of GNU", []entry{folder("src"), {Name: "src/" + strings.Repeat("x", 5000), Typeflag: tar.TypeDir, Format: tar.FormatGNU}}, "the name has 5004 bytes", false},
	{"a tree 100,000 deep", []entry{folder("src"), file("src/"+strings.Repeat("a/", 100_000)+"x", "x")}, "the name has 200005 bytes", false},
	{"a tree 256 deep", []entry{folder("src"), file("src/"+strings.Repeat("a/", 255)+"x", "x")}, "more than 255 elements", false},
	{"a part that is too long", []entry{folder("src"), file("src/"+strings.Repeat("x", 300), "x")}, "name too long", false},
	{"a name that acts on a terminal", []entry{folder("src"), {Name: "src/\x1b]0;x\a", Typeflag: tar.TypeFifo}, plain}, `"src/\x1b]0;x\a" (pipe)`, true},
	// Kinds.
	{"devices", []entry{folder("src"), {Name: "src/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}, {Name: "src/sda", Typeflag: tar.TypeBlock, Devmajor: 8}, plain}, `"src/null" (device); "src/sda" (device)`, true},
	{"a pipe", []entry{folder("src"), {Name: "src/p", Typeflag: tar.TypeFifo}, plain}, `"src/p" (pipe)`, true},
	{"a topmost device", []entry{{Name: "src", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}}, "device", false},
	{"an unknown kind", []entry{folder("src"), {Name: "src/u", Typeflag: 'Z'}, plain}, "unknown type 'Z'", true},
	// Names that come again.
	{"a file twice", []entry{folder("src"), file("src/a", "1"), file("src/a", "2"), plain}, `"src/a" (duplicate name)`, true},
	{"a file over a folder", []entry{folder("src"), folder("src/d"), file("src/d", "x")}, "a directory exists in place of the file", false},
	{"a folder over a file", []entry{folder("src"), file("src/d", "x"), folder("src/d")}, "a file exists in place of the directory", false},
	{"a file over a folder and back", []entry{folder("src"), file("src/d/x", "x"), file("src/d", "x"), link("src/d", "..")}, "a directory exists in place of the file", false},
	{"a file below a file", []entry{folder("src"), file("src/d", "x"), file("src/d/x", "x")}, "a file exists in place of the directory", false},
	{"another case of a link's name", []entry{folder("src"), link("src/L", "."), file("src/l/x", "x"), link("src/l/..", "."), plain}, "leads outside", false},
}

// TestHostileArchives: whatever an archive holds and wherever it goes, nothing outside of the new folder changes, and it is an
// error that names the entry.
func TestHostileArchives(t *testing.T) {
	if len(hostile) < 30 {
		t.Fatalf("%d archives, want 30", len(hostile))
	}
	for _, c := range hostile {
		for _, d := range dests {
			t.Run(c.name+" "+d.name, func(t *testing.T) {
				outside, dir := yard(t)
				before := state(t, outside, "T/"+d.wall)
				_, err := unpack.Tar(archive(t, c.entries...), "src", dir+"/"+d.dest, unpack.Options{Contents: d.contents})
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error = %v, want %q in it", err, c.err)
				}
				if _, partly := errors.AsType[*unpack.Refused](err); partly != c.partly {
					t.Errorf("left out in part: %v, want %v: %v", partly, c.partly, err)
				}
				if diff := cmp.Diff(before, state(t, outside, "T/"+d.wall)); diff != "" {
					t.Errorf("outside of the new folder (-before +after):\n%s", diff)
				}
				wantInside(t, filepath.Join(dir, d.wall), c.partly)
			})
		}
	}
}

// wantInside checks the new folder: the user's files as they were, no word of evil, no link that leads out.
func wantInside(t *testing.T, wall string, partly bool) {
	t.Helper()
	if _, err := os.Lstat(wall); errors.Is(err, fs.ErrNotExist) {
		return
	}
	got := tree(t, wall)
	for name, content := range got {
		user := strings.HasSuffix(wall, "there") && (name == "users" || name == "inner")
		if strings.Contains(content, "EVIL") || strings.HasPrefix(content, "-> ") && !user && (strings.Contains(content, "..") || strings.HasPrefix(content, "-> /")) {
			t.Errorf("there is %s: %q", name, content)
		}
	}
	if strings.HasSuffix(wall, "there") {
		for name, want := range map[string]string{"mine": "precious", "deep/mine": "precious", "users": "-> ..", "inner": "-> deep"} {
			if got[name] != want {
				t.Errorf("%s = %q, want %q untouched", name, got[name], want)
			}
		}
	}
	if partly && got["z"] != "fine" {
		t.Errorf("what was harmless was not written: %v", got)
	}
}

// TestLinksThatWereThereAreNotFollowed: a link in the folder that is copied into, of the user's or of an earlier copy, leads nowhere.
func TestLinksThatWereThereAreNotFollowed(t *testing.T) {
	for _, c := range []struct {
		name    string
		entries []entry
		err     string
	}{
		{"a file through one that leads out", []entry{folder("src"), file("src/users/victim", "EVIL"), plain}, `"src/users/victim" ("users" is an existing link`},
		{"a file through one that stays", []entry{folder("src"), file("src/inner/mine", "EVIL"), plain}, `"src/inner/mine" ("inner" is an existing link`},
		{"a folder over one", []entry{folder("src"), folder("src/users"), plain}, `"src/users" ("users" is an existing link`},
		{"a link through one", []entry{folder("src"), link("src/l", "users/victim"), plain}, "through an existing link"},
	} {
		t.Run(c.name, func(t *testing.T) {
			outside, dir := yard(t)
			before := state(t, outside, "T/there")
			_, err := unpack.Tar(archive(t, c.entries...), "src", filepath.Join(dir, "there"), unpack.Options{Contents: true})
			if _, partly := errors.AsType[*unpack.Refused](err); !partly || !strings.Contains(err.Error(), c.err) {
				t.Errorf("error = %v, want %q in it", err, c.err)
			}
			if diff := cmp.Diff(before, state(t, outside, "T/there")); diff != "" {
				t.Errorf("outside of the new folder (-before +after):\n%s", diff)
			}
			wantInside(t, filepath.Join(dir, "there"), true)
		})
	}
	t.Run("the new folder's own place", func(t *testing.T) {
		outside, dir := yard(t)
		before := state(t, outside, "-")
		_, err := unpack.Tar(archive(t, folder("src"), file("src/victim", "EVIL")), "users", filepath.Join(dir, "there"), unpack.Options{})
		if err == nil || !strings.Contains(err.Error(), "it is a link, not a directory") {
			t.Errorf("error = %v", err)
		}
		if diff := cmp.Diff(before, state(t, outside, "-")); diff != "" {
			t.Errorf("(-before +after):\n%s", diff)
		}
	})
}

// TestTwoCopiesNeverMakeALinkThatLeadsOut: what one leaves cannot be turned by the next.
func TestTwoCopiesNeverMakeALinkThatLeadsOut(t *testing.T) {
	outside, dir := yard(t)
	before := state(t, outside, "T/src")
	first := archive(t, folder("src"), folder("src/d"), link("src/ok", "d/../z"), link("src/l", "later/.."), link("src/m", "d"), link("src/n", "m/.."), plain)
	second := archive(t, folder("src"), link("src/later", "."), link("src/m", "."), file("src/l/victim", "EVIL"), file("src/ok", "new"))
	_, err := unpack.Tar(first, "src", dir, unpack.Options{})
	if refused, ok := errors.AsType[*unpack.Refused](err); !ok || refused.Count != 2 {
		t.Errorf("the first copy: %v, want two links left out", err)
	}
	if _, err := unpack.Tar(second, "src", dir, unpack.Options{}); err != nil {
		t.Errorf("the second copy: %v", err)
	}
	if diff := cmp.Diff(before, state(t, outside, "T/src")); diff != "" {
		t.Errorf("outside of the new folder (-before +after):\n%s", diff)
	}
	want := map[string]string{"d": "/", "z": "fine", "later": "-> .", "m": "-> .", "ok": "new", "l": "/", "l/victim": "EVIL"}
	if diff := cmp.Diff(want, tree(t, filepath.Join(dir, "src"))); diff != "" {
		t.Errorf("in it (-want +got):\n%s", diff)
	}
}

// TestHonestLinksAreKept: those of usual trees come as they are, whatever the order of the archive.
func TestHonestLinksAreKept(t *testing.T) {
	dir := t.TempDir()
	_, err := unpack.Tar(archive(t, folder("src"), link("src/lib.so", "lib.so.1"), link("src/lib.so.1", "./lib.so.1.2"), file("src/lib.so.1.2", "lib"),
		folder("src/m"), folder("src/m/.bin"), link("src/m/.bin/t", "../t/bin.js"), folder("src/m/t"), file("src/m/t/bin.js", "js"),
		link("src/dangling", "nowhere"), link("src/a", "b"), link("src/b", "a"), link("src/self", ".")), "src", dir, unpack.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"src": "/", "src/lib.so": "-> lib.so.1", "src/lib.so.1": "-> ./lib.so.1.2", "src/lib.so.1.2": "lib", "src/m": "/", "src/m/.bin": "/",
		"src/m/.bin/t": "-> ../t/bin.js", "src/m/t": "/", "src/m/t/bin.js": "js", "src/dangling": "-> nowhere", "src/a": "-> b", "src/b": "-> a", "src/self": "-> .",
	}
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// raw is a header as no honest writer makes it.
func raw(name, size string, kind byte) []byte {
	block := make([]byte, 512)
	copy(block, name)
	copy(block[100:], "0000644\x00")
	copy(block[124:136], size)
	block[156] = kind
	copy(block[257:], "ustar\x0000")
	copy(block[148:], "        ")
	sum := 0
	for _, c := range block {
		sum += int(c)
	}
	copy(block[148:], fmt.Sprintf("%06o\x00 ", sum))
	return block
}

// TestHostileBytes: streams that are no archive of any tool's.
func TestHostileBytes(t *testing.T) {
	whole := archive(t, folder("src"), file("src/a", strings.Repeat("x", 2000))).Bytes()
	end := len(whole) - 1024
	with := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	zeros := make([]byte, 1024)
	for _, c := range []struct {
		name string
		data []byte
		err  string
	}{
		{"nothing", nil, "it is truncated"},
		{"only an end mark", zeros, "it is empty"},
		{"no end mark", whole[:end], "no end mark"},
		{"half an end mark", whole[:end+512], "no end mark"},
		{"cut in a header", whole[:100], "unexpected EOF"},
		{"cut in a file", whole[:2000], "unexpected EOF"},
		{"cut at a file's end", whole[:end-512], ""},
		{"a forged end mark, and more", with(whole, archive(t, folder("src"), file("src/b", "EVIL")).Bytes()), "data follows its end mark"},
		{"a byte long after the end mark", with(whole, make([]byte, 1<<20), []byte("x")), "data follows its end mark"},
		{"an end mark first, and more", with(zeros, whole), "data follows its end mark"},
		{"a size of a petabyte", with(raw("src/", "", '5'), raw("src/a", "\x80\x00\x00\x00\x00\x03\x8d\x7e\xa4\xc6\x80\x00", '0'), zeros), "unexpected EOF"},
		{"a negative size", with(raw("src/", "", '5'), raw("src/a", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", '0'), zeros), "invalid tar header"},
		{"a size that is no number", with(raw("src/", "", '5'), raw("src/a", "zzzzzzzzzzz", '0'), zeros), "invalid tar header"},
		{"a NUL in a name of PAX", with(raw("src/", "", '5'), raw("x", "00000000022", 'x'), []byte("18 path=src/a\x00/b\n"), make([]byte, 512-18), raw("src/a", "", '0'), zeros), ""},
		{"not a tar", []byte(strings.Repeat("no tar ", 1000)), "invalid tar header"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, d := range dests {
				outside, dir := yard(t)
				before := state(t, outside, "T/"+d.wall)
				_, err := unpack.Tar(bytes.NewReader(c.data), "src", dir+"/"+d.dest, unpack.Options{Contents: d.contents})
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%s: error = %v, want %q in it", d.name, err, c.err)
				}
				if diff := cmp.Diff(before, state(t, outside, "T/"+d.wall)); diff != "" {
					t.Errorf("%s: outside of the new folder (-before +after):\n%s", d.name, diff)
				}
			}
		})
	}
}

// TestTheCopyIsReadToItsEnd: what a stream tells only after the archive's end mark is not missed, whatever the archive is of.
func TestTheCopyIsReadToItsEnd(t *testing.T) {
	torn := errors.New("tar: src/b: Cannot open: Permission denied")
	for name, a := range map[string]*bytes.Buffer{
		"a folder": archive(t, folder("src"), plain), "a file": archive(t, file("src", "fine")), "nothing": archive(t),
		"with a pipe that is left out": archive(t, folder("src"), plain, entry{Name: "src/p", Typeflag: tar.TypeFifo}),
	} {
		result, err := unpack.Tar(io.MultiReader(a, bytes.NewReader(make([]byte, 9000)), failing{torn}), "src", t.TempDir(), unpack.Options{})
		if !errors.Is(err, torn) {
			t.Errorf("%s: error = %v, want what the end tells", name, err)
		}
		if name != "nothing" && (result.Files != 1 || result.Target == "") {
			t.Errorf("%s: what was written is not told: %+v", name, result)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// FuzzUnpack: no bytes at all write outside of the new folder, or panic. where picks one of dests.
func FuzzUnpack(f *testing.F) {
	for i, c := range hostile {
		if data := archive(f, c.entries...).Bytes(); len(data) < 64<<10 {
			f.Add(data, byte(i))
		}
	}
	f.Add(archive(f, folder("src"), file("src/a", "A"), hard("src/b", "src/a"), link("src/c", "a")).Bytes(), byte(0))
	f.Fuzz(func(t *testing.T, data []byte, where byte) {
		d := dests[int(where)%len(dests)]
		outside, dir := yard(t)
		before := state(t, outside, "T/"+d.wall)
		_, _ = unpack.Tar(bytes.NewReader(data), "src", dir+"/"+d.dest, unpack.Options{Contents: d.contents})
		if diff := cmp.Diff(before, state(t, outside, "T/"+d.wall)); diff != "" {
			t.Errorf("%s: outside of the new folder (-before +after):\n%s", d.name, diff)
		}
		// Folders without rights would be in the way of the test's end.
		_ = filepath.WalkDir(outside, func(p string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				err = os.Chmod(p, 0o700)
			}
			return err
		})
	})
}
