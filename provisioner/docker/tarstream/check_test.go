package tarstream

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/provisioner"
)

type entry = tar.Header

func file(name string) entry { return entry{Typeflag: tar.TypeReg, Name: name, Mode: 0o644} }
func dir(name string) entry  { return entry{Typeflag: tar.TypeDir, Name: name, Mode: 0o755} }
func link(name, to string) entry {
	return entry{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777}
}
func hard(name, to string) entry {
	return entry{Typeflag: tar.TypeLink, Name: name, Linkname: to, Mode: 0o644}
}

// pack makes a tar stream; a file holds its own name.
func pack(t interface{ Fatal(...any) }, entries ...entry) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := io.WriteString(w, h.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// names lists what came through.
func names(t *testing.T, stream []byte) []string {
	t.Helper()
	var out []string
	for r := tar.NewReader(bytes.NewReader(stream)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		name := h.Name
		if h.Linkname != "" {
			name += " -> " + h.Linkname
		}
		out = append(out, name)
	}
}

// TestHostileTars: each is refused with class Permanent, and the error names the entry at fault.
func TestHostileTars(t *testing.T) {
	for name, c := range map[string]struct {
		entries []entry
		blame   string
	}{
		"absolute":                {[]entry{file("/etc/passwd")}, "/etc/passwd"},
		"up":                      {[]entry{file("../x")}, "../x"},
		"up inside":               {[]entry{file("a/../../x")}, "a/../../x"},
		"just up":                 {[]entry{dir("..")}, ".."},
		"fifo":                    {[]entry{{Typeflag: tar.TypeFifo, Name: "p"}}, "p"},
		"character device":        {[]entry{{Typeflag: tar.TypeChar, Name: "c", Devmajor: 1}}, "c"},
		"block device":            {[]entry{{Typeflag: tar.TypeBlock, Name: "b"}}, "b"},
		"behind a link":           {[]entry{dir("d"), link("l", "d"), file("l/x")}, "l/x"},
		"behind an absolute link": {[]entry{link("l", "/etc"), file("l/x")}, "l/x"},
		"behind a link up":        {[]entry{link("a/l", "../.."), dir("a/l/x")}, "a/l/x"},
		"behind two links":        {[]entry{link("y", "."), link("x", "y/.."), link("x/z", "q")}, "x/z"},
		"deep behind a link":      {[]entry{link("d/l", "."), file("d/l/a/b/../c")}, "d/l/a/b/../c"},
		"empty link":              {[]entry{link("l", "")}, "l"},
		"folder becomes a link":   {[]entry{dir("d/e"), link("d", "e")}, "d"},
		"implied folder":          {[]entry{file("d/e"), link("d", "x")}, "d"},
		"file over a link":        {[]entry{link("l", "x"), file("l")}, "l"},
		"folder over a link":      {[]entry{link("l", "x"), dir("l")}, "l"},
		"hard link up":            {[]entry{hard("h", "../x")}, "h"},
		"absolute hard link":      {[]entry{hard("h", "/etc/passwd")}, "h"},
		"hard link to the outer":  {[]entry{hard("h", "there/before")}, "h"},
		"hard link to a link":     {[]entry{dir("a"), link("a/l", "../f"), hard("l", "a/l")}, "l"},
		"hard link behind a link": {[]entry{file("d/f"), link("l", "d"), hard("h", "l/f")}, "h"},
		"no name":                 {[]entry{file("")}, ""},
		"the folder's own place":  {[]entry{link(".", "x")}, "."},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := Clean(context.Background(), bytes.NewReader(pack(t, c.entries...)), &out, no)
			if provisioner.ClassOf(err) != provisioner.Permanent {
				t.Fatalf("got %v, want class permanent", err)
			}
			if want := fmt.Sprintf("%q in the tar stream is refused", c.blame); !strings.Contains(err.Error(), want) {
				t.Errorf("error %q does not say %q", err, want)
			}
		})
	}
}

// TestGoodTars: usual trees pass, cleaned.
func TestGoodTars(t *testing.T) {
	for name, c := range map[string]struct {
		entries []entry
		want    []string
	}{
		"empty":           {nil, nil},
		"tree":            {[]entry{dir("./"), dir("./a"), file("./a/b"), file("c d/ü")}, []string{"a/", "a/b", "c d/ü"}},
		"long name":       {[]entry{file(strings.Repeat("x/", 150) + "y")}, []string{strings.Repeat("x/", 150) + "y"}},
		"steps inside":    {[]entry{file("a/../b")}, []string{"b"}},
		"dots in a name":  {[]entry{file("..a"), file("b..")}, []string{"..a", "b.."}},
		"node modules":    {[]entry{link("m/.bin/t", "../t/bin.js"), file("m/t/bin.js")}, []string{"m/.bin/t -> ../t/bin.js", "m/t/bin.js"}},
		"dangling link":   {[]entry{link("l", "nowhere")}, []string{"l -> nowhere"}},
		"link in a loop":  {[]entry{link("a", "b"), link("b", "a")}, []string{"a -> b", "b -> a"}},
		"library":         {[]entry{link("l.so", "l.so.1"), link("l.so.1", "l.so.1.2"), file("l.so.1.2")}, []string{"l.so -> l.so.1", "l.so.1 -> l.so.1.2", "l.so.1.2"}},
		"hard link":       {[]entry{file("f"), hard("g", "./f"), hard("h", "g")}, []string{"f", "g -> f", "h -> g"}},
		"links out":       {[]entry{link("etc/localtime", "/usr/share/zoneinfo/UTC"), link("svc/common", "../../common")}, []string{"etc/localtime -> /usr/share/zoneinfo/UTC", "svc/common -> ../../common"}},
		"link twice":      {[]entry{link("l", "x"), link("l", "../y")}, []string{"l -> x", "l -> ../y"}},
		"same file twice": {[]entry{file("f"), file("f")}, []string{"f", "f"}},
		"of git archive":  {[]entry{{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "x"}}, file("f")}, []string{"f"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := Clean(context.Background(), bytes.NewReader(pack(t, c.entries...)), &out, no); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, names(t, out.Bytes())); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFolderModesPass: with setgid and sticky bits, without a set-user-ID bit, which means nothing there.
func TestFolderModesPass(t *testing.T) {
	d := dir("d")
	d.Mode = 0o7775
	var out bytes.Buffer
	if err := Clean(context.Background(), bytes.NewReader(pack(t, d)), &out, no); err != nil {
		t.Fatal(err)
	}
	if got, err := tar.NewReader(&out).Next(); err != nil || got.Mode != 0o3775 {
		t.Errorf("got mode %o, %v, want 3775", got.Mode, err)
	}
}

// TestTarHeaderCleaned: owners, set-id bits and extended attributes do not pass.
func TestTarHeaderCleaned(t *testing.T) {
	h := file("f")
	h.Mode, h.Uid, h.Gid, h.Uname, h.Gname = 0o7755, 0, 0, "root", "root"
	h.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": "all"}
	var out bytes.Buffer
	if err := Clean(context.Background(), bytes.NewReader(pack(t, h)), &out, no); err != nil {
		t.Fatal(err)
	}
	got, err := tar.NewReader(&out).Next()
	if err != nil {
		t.Fatal(err)
	}
	if got.Mode != 0o755 || got.Uname != "" || got.Gname != "" || len(got.PAXRecords) != 0 {
		t.Errorf("got mode %o, owner %q:%q, records %v", got.Mode, got.Uname, got.Gname, got.PAXRecords)
	}
}

// TestBrokenTars: a stream that is none, or is cut anywhere, is an error and never a success.
func TestBrokenTars(t *testing.T) {
	if err := Clean(context.Background(), strings.NewReader(strings.Repeat("not a tar ", 200)), io.Discard, no); provisioner.ClassOf(err) != provisioner.Permanent {
		t.Errorf("garbage: got %v, want class permanent", err)
	}
	whole := pack(t, file("a"), file("b"))
	for cut := range len(whole) {
		if err := Clean(context.Background(), bytes.NewReader(whole[:cut]), io.Discard, no); provisioner.ClassOf(err) != provisioner.Permanent {
			t.Fatalf("cut at %d of %d: got %v, want class permanent", cut, len(whole), err)
		}
	}
}

// TestTarsStayInside unpacks streams of random links, folders and files with the host's tar, and looks whether
// anything was written outside the folder, or changed there. It is the check of the checker.
func TestTarsStayInside(t *testing.T) {
	if _, err := exec.LookPath("tar"); err != nil {
		t.Skip("needs tar:", err)
	}
	top := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		step := rapid.SampledFrom([]string{"a", "b", "c", "..", "."})
		where := rapid.Custom(func(t *rapid.T) string {
			return strings.Join(rapid.SliceOfN(step, 1, 4).Draw(t, "steps"), "/")
		})
		// Hostile trees are mostly refused as a whole: keep what the checker lets through, entry by entry.
		c := newTarChecker()
		var passed []entry
		for range rapid.IntRange(1, 12).Draw(t, "entries") {
			h := file(where.Draw(t, "name"))
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0:
				h = dir(h.Name)
			case 1, 2, 3:
				h = link(h.Name, where.Draw(t, "target"))
			case 4:
				h = hard(h.Name, where.Draw(t, "target"))
			}
			if clean, err := c.entry(&h); err == nil && clean != nil {
				passed = append(passed, *clean)
			}
		}
		n++
		outer := filepath.Join(top, fmt.Sprint(n))
		inner := filepath.Join(outer, "in")
		bait := []string{"a", "b", "c"} // what links may lead to
		for _, name := range append(bait, "in") {
			if err := os.MkdirAll(filepath.Join(outer, name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		defer func() {
			if err := os.RemoveAll(outer); err != nil {
				t.Error(err)
			}
		}()
		for i := range passed {
			passed[i].Name = strings.TrimSuffix(passed[i].Name, "/")
		}
		cmd := exec.Command("tar", "-xpof", "-")
		cmd.Dir, cmd.Stdin = inner, bytes.NewReader(pack(t, passed...))
		_ = cmd.Run() // it may well fail on odd trees; what counts is where it wrote
		if left, err := os.ReadDir(outer); err != nil || len(left) != 1+len(bait) {
			t.Fatalf("written outside: %v, %v; entries %v", left, err, passed)
		}
		for _, name := range bait {
			if left, err := os.ReadDir(filepath.Join(outer, name)); err != nil || len(left) != 0 {
				t.Fatalf("written into %s outside: %v, %v; entries %v", name, left, err, passed)
			}
		}
	})
}

// FuzzCleanTar: any bytes get an answer, and what passes, passes again unchanged.
func FuzzCleanTar(f *testing.F) {
	f.Add(pack(f, dir("d"), file("d/f"), link("l", "d/f"), hard("h", "d/f")))
	f.Add(pack(f, file("../x")))
	f.Add([]byte("no tar"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var once, twice bytes.Buffer
		if Clean(context.Background(), bytes.NewReader(data), &once, no) != nil {
			return
		}
		if err := Clean(context.Background(), bytes.NewReader(once.Bytes()), &twice, no); err != nil {
			t.Fatalf("its own output is refused: %v", err)
		}
		if !bytes.Equal(once.Bytes(), twice.Bytes()) {
			t.Fatal("its own output is changed")
		}
	})
}
