package provisionertest

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/provisioner"
)

var copyObligations = []inside{
	{"a tree comes back as it went", testRoundTrip},
	{"files belong to the user asked for", testCopyOwner},
	{"times and modes of folders are kept", testCopyTimes},
	{"links that lead out stay links", testCopyLinks},
	{"a single file", testCopyFile},
	{"a file that is there is replaced", testCopyOver},
	{"what is not there", testCopyMissing},
	{"the user's rights hold", testCopyRights},
	{"hostile entries are refused", testHostile},
	{"a stream that breaks off", testBrokenTar},
}

// item is one entry of a tar, in a form to compare.
type item struct {
	Type byte
	Mode int64
	Data string
	Link string
}

func (i item) String() string {
	return fmt.Sprintf("%c %o %d bytes %q", i.Type, i.Mode, len(i.Data), i.Link)
}

type named struct {
	name string
	item
}

func file(name string, mode int64, data string) named {
	return named{name, item{Type: tar.TypeReg, Mode: mode, Data: data}}
}

func folder(name string) named { return named{name, item{Type: tar.TypeDir, Mode: 0o755}} }

func link(name, to string) named {
	return named{name, item{Type: tar.TypeSymlink, Mode: 0o777, Link: to}}
}

// pack makes a tar of entries, hostile ones too.
func pack(t *testing.T, entries ...named) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		head := &tar.Header{Name: e.name, Typeflag: e.Type, Mode: e.Mode, Linkname: e.Link, Size: int64(len(e.Data)), Format: tar.FormatPAX}
		if err := w.WriteHeader(head); err != nil {
			t.Fatalf("write tar header of %q: %v", e.name, err)
		}
		if _, err := io.WriteString(w, e.Data); err != nil {
			t.Fatalf("write tar entry %q: %v", e.name, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatalf("end tar: %v", err)
	}
	return &b
}

// testCopyTimes: builds go by times, so they are kept to the nanosecond; a shared folder stays one.
func testCopyTimes(t *testing.T, e *environment) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	want := map[string]tar.Header{
		"dated/":      {Typeflag: tar.TypeDir, Mode: 0o2775, ModTime: time.Unix(1790000000, 999999999)},
		"dated/open/": {Typeflag: tar.TypeDir, Mode: 0o1777, ModTime: time.Unix(1790000000, 1)},
		"dated/in":    {Typeflag: tar.TypeReg, Mode: 0o644, ModTime: time.Unix(1790000000, 400000000)},
		"dated/out":   {Typeflag: tar.TypeReg, Mode: 0o755, ModTime: time.Unix(1790000000, 200000000)},
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		h := want[name]
		h.Name, h.Format = name, tar.FormatPAX
		if h.Typeflag == tar.TypeReg {
			h.Mode |= 0o6000 // which does not pass
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), e.h.Runtime.CopyTo(within(t), e.handle.Sandbox.ID, e.h.Workspace, e.h.User, &b)); err != nil {
		t.Fatal(err)
	}
	stream, err := e.h.Runtime.CopyFrom(within(t), e.handle.Sandbox.ID, e.h.Workspace+"/dated", e.h.User)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for r := tar.NewReader(stream); ; {
		got, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		sent, ok := want[got.Name]
		if !ok || got.Mode&0o7777 != sent.Mode || !got.ModTime.Equal(sent.ModTime) {
			t.Errorf("%q came back with mode %o of %d, want %o of %d", got.Name, got.Mode, got.ModTime.UnixNano(), sent.Mode, sent.ModTime.UnixNano())
		}
		delete(want, got.Name)
	}
	if len(want) > 0 {
		t.Errorf("%d entries did not come back", len(want))
	}
}

// testCopyLinks: links are made as they are, wherever they lead. The one that is asked for is followed, those in a folder are not.
func testCopyLinks(t *testing.T, e *environment) {
	entries := []named{
		folder("links"), link("links/absolute", "/etc/passwd"), link("links/up", "../../x"), link("links/nowhere", "none"),
		folder("links/real"), file("links/real/file", 0o644, "here"), link("links/dir", "real"), link("links/one", "real/file"),
	}
	if err := e.h.Runtime.CopyTo(within(t), e.handle.Sandbox.ID, e.h.Workspace, e.h.User, pack(t, entries...)); err != nil {
		t.Fatalf("CopyTo: %v", err)
	}
	want := map[string]item{}
	for _, n := range entries {
		want[n.name] = n.item
	}
	_, got := e.fetch(t, e.h.Workspace+"/links", e.h.User)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the folder (-sent +got):\n%s", diff)
	}
	for from, want := range map[string]map[string]item{
		"one":     {"one": file("", 0o644, "here").item},
		"dir":     {"dir": folder("").item, "dir/file": file("", 0o644, "here").item},
		"nowhere": {"nowhere": link("", "none").item},
	} {
		first, got := e.fetch(t, e.h.Workspace+"/links/"+from, e.h.User)
		if diff := cmp.Diff(want, got); diff != "" || first != from {
			t.Errorf("%s begins with %q (-want +got):\n%s", from, first, diff)
		}
	}
}

// fetch copies a path out and gives its entries by name, and the first one's name.
func (e *environment) fetch(t *testing.T, from, user string) (first string, all map[string]item) {
	t.Helper()
	stream, err := e.h.Runtime.CopyFrom(within(t), e.handle.Sandbox.ID, from, user)
	if err != nil {
		t.Fatalf("CopyFrom %s: %v", from, err)
	}
	defer stream.Close()
	all = map[string]item{}
	for r := tar.NewReader(stream); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			return first, all
		}
		if err != nil {
			t.Fatalf("read tar of %s: %v", from, err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("read %s from tar: %v", head.Name, err)
		}
		name := path.Clean(head.Name)
		if first == "" {
			first = name
		}
		all[name] = item{Type: head.Typeflag, Mode: head.Mode & 0o7777, Data: string(data), Link: head.Linkname}
	}
}

func testRoundTrip(t *testing.T, e *environment) {
	deep := "tree" + strings.Repeat("/down", 30)
	entries := []named{
		folder("tree"),
		file("tree/plain", 0o644, "text\n"),
		file("tree/program", 0o755, "#!/bin/sh\n"),
		file("tree/private", 0o600, "x"),
		file("tree/read-only", 0o444, "y"),
		file("tree/empty", 0o644, ""),
		folder("tree/empty folder"),
		file("tree/with  spaces ", 0o644, "s"),
		file("tree/ünïcödé ☂", 0o644, "u"),
		file("tree/-rf", 0o644, "dash"),
		file("tree/quo'te\"$HOME;`id`", 0o644, "q"),
		file("tree/line\nbreak", 0o644, "n"),
		file("tree/"+strings.Repeat("l", 200), 0o644, "long"), // longer than a plain tar header holds
		file("tree/..dots..", 0o644, "d"),
		file("tree/noise", 0o644, string(noise(1<<20))),
		link("tree/link", "plain"),
	}
	want := map[string]item{}
	for _, n := range entries {
		want[n.name] = n.item
	}
	at := ""
	for _, part := range strings.Split(deep, "/") {
		at = path.Join(at, part)
		if at != "tree" {
			entries = append(entries, folder(at))
		}
		want[at] = folder(at).item
	}
	entries = append(entries, file(deep+"/leaf", 0o640, "leaf"))
	want[deep+"/leaf"] = file("", 0o640, "leaf").item

	if err := e.h.Runtime.CopyTo(within(t), e.handle.Sandbox.ID, e.h.Workspace, e.h.User, pack(t, entries...)); err != nil {
		t.Fatalf("CopyTo: %v", err)
	}
	first, got := e.fetch(t, e.h.Workspace+"/tree", e.h.User)
	if first != "tree" {
		t.Errorf("the first entry is %q, want the base name, tree", first)
	}
	if diff := cmp.Diff(summaries(want), summaries(got)); diff != "" {
		t.Errorf("what came back differs (-sent +got):\n%s", diff)
	}
	for name := range want {
		if got[name].Data != want[name].Data {
			t.Errorf("%q: the content differs", name)
		}
	}
	e.wantExec(t, 0, "rm", "-rf", e.h.Workspace+"/tree")
}

func summaries(all map[string]item) map[string]string {
	short := map[string]string{}
	for name, i := range all {
		short[name] = i.String()
	}
	return short
}

func testCopyOwner(t *testing.T, e *environment) {
	for user, dir := range map[string]string{e.h.User: e.h.Workspace, "root": "/root"} {
		if err := e.h.Runtime.CopyTo(within(t), e.handle.Sandbox.ID, dir, user, pack(t, folder("owned"), file("owned/file", 0o644, "x"))); err != nil {
			t.Errorf("CopyTo %s as %s: %v", dir, user, err)
			continue
		}
		for _, name := range []string{"/owned", "/owned/file"} {
			req := provisioner.ExecRequest{Command: []string{"stat", "-c", "%U", dir + name}, User: "root"}
			if _, got, _ := e.exec(t, req, ""); got != user+"\n" {
				t.Errorf("%s belongs to %q, want %s", dir+name, strings.TrimSpace(got), user)
			}
		}
	}
}

func testCopyFile(t *testing.T, e *environment) {
	if err := e.h.Runtime.CopyTo(within(t), e.handle.Sandbox.ID, e.h.Workspace, e.h.User, pack(t, file("one", 0o750, "single"))); err != nil {
		t.Fatalf("CopyTo: %v", err)
	}
	first, got := e.fetch(t, e.h.Workspace+"/one", e.h.User)
	want := map[string]item{"one": file("", 0o750, "single").item}
	if diff := cmp.Diff(want, got); diff != "" || first != "one" {
		t.Errorf("first %q; (-want +got):\n%s", first, diff)
	}
}

func testCopyOver(t *testing.T, e *environment) {
	for _, data := range []string{"first, the longer one", "second"} {
		if err := e.h.Runtime.CopyTo(within(t), e.handle.Sandbox.ID, e.h.Workspace, e.h.User, pack(t, file("again", 0o644, data))); err != nil {
			t.Fatalf("CopyTo: %v", err)
		}
		if got := e.output(t, "cat", e.h.Workspace+"/again"); got != data {
			t.Errorf("the file holds %q, want %q", got, data)
		}
	}
}

func testCopyMissing(t *testing.T, e *environment) {
	_, err := e.h.Runtime.CopyFrom(within(t), e.handle.Sandbox.ID, e.h.Workspace+"/no/such", e.h.User)
	wantClass(t, "CopyFrom of what is not there", err, provisioner.NotFound)
	err = e.h.Runtime.CopyTo(within(t), e.handle.Sandbox.ID, e.h.Workspace+"/no/such", e.h.User, pack(t, file("a", 0o644, "x")))
	if err == nil || provisioner.Is(err, provisioner.Transient) {
		t.Errorf("CopyTo into a folder that is not there: %v; want an error that is not transient", err)
	}
}

func testCopyRights(t *testing.T, e *environment) {
	stream, err := e.h.Runtime.CopyFrom(within(t), e.handle.Sandbox.ID, "/etc/shadow", e.h.User)
	if err == nil {
		var text []byte
		text, err = io.ReadAll(stream)
		stream.Close()
		if bytes.Contains(text, []byte("root:")) {
			t.Error("CopyFrom gave a file that the user may not read")
		}
	}
	wantClass(t, "CopyFrom of a file that the user may not read", err, provisioner.Denied)
	testCopyInPart(t, e)
	err = e.h.Runtime.CopyTo(within(t), e.handle.Sandbox.ID, "/etc", e.h.User, pack(t, file("planted", 0o644, "x")))
	wantClass(t, "CopyTo into a folder that the user may not write to", err, provisioner.Denied)
	e.wantExec(t, 1, "test", "-e", "/etc/planted")
}

// testCopyInPart: a folder of which one file cannot be read is no success, and the error names that file.
func testCopyInPart(t *testing.T, e *environment) {
	if err := e.h.Runtime.CopyTo(within(t), e.handle.Sandbox.ID, e.h.Workspace, e.h.User, pack(t, folder("part"), file("part/open", 0o644, "x"), file("part/locked", 0, "x"))); err != nil {
		t.Fatalf("CopyTo: %v", err)
	}
	stream, err := e.h.Runtime.CopyFrom(within(t), e.handle.Sandbox.ID, e.h.Workspace+"/part", e.h.User)
	if err == nil {
		_, err = io.Copy(io.Discard, stream)
		stream.Close()
	}
	wantClass(t, "CopyFrom of a folder with a file that the user may not read", err, provisioner.Denied)
	if err != nil && !strings.Contains(err.Error(), "part/locked") {
		t.Errorf("error %q does not name the file that could not be read", err)
	}
}

// testHostile: each is refused with Permanent, by name, and nothing is written outside.
func testHostile(t *testing.T, e *environment) {
	base := e.h.Workspace + "/box/in"
	if err := e.h.Runtime.CopyTo(within(t), e.handle.Sandbox.ID, e.h.Workspace, e.h.User, pack(t, folder("box"), file("box/outside", 0o644, "x"), folder("box/in"))); err != nil {
		t.Fatalf("CopyTo: %v", err)
	}
	special := func(kind byte) named { return named{"evil", item{Type: kind, Mode: 0o666}} }
	hard := func(to string) named { return named{"evil", item{Type: tar.TypeLink, Link: to}} }
	for name, entries := range map[string][]named{
		"parent":                {file("../evil", 0o644, "x")},
		"parent behind a name":  {file("a/../../evil", 0o644, "x")},
		"only parent":           {folder("..")},
		"absolute":              {file(e.h.Workspace+"/box/evil", 0o644, "x")},
		"through a link up":     {link("evil", ".."), file("evil/evil", 0o644, "x")},
		"through a link out":    {link("evil", "/tmp"), file("evil/evil", 0o644, "x")},
		"hard link to parent":   {hard("../outside")},
		"hard link far outside": {hard("../../../etc/passwd")},
		"absolute hard link":    {hard("/etc/passwd")},
		"character device":      {special(tar.TypeChar)},
		"block device":          {special(tar.TypeBlock)},
		"pipe":                  {special(tar.TypeFifo)},
		"through a chain of it": {link("b", "."), link("evil", "b/.."), file("evil/evil", 0o644, "x")},
	} {
		t.Run(name, func(t *testing.T) {
			all := append([]named{file("innocent", 0o644, "x")}, entries...)
			err := e.h.Runtime.CopyTo(within(t), e.handle.Sandbox.ID, base, e.h.User, pack(t, all...))
			wantClass(t, "CopyTo", err, provisioner.Permanent)
			if !strings.Contains(provisioner.Sentence(err), "evil") && name != "only parent" {
				t.Errorf("the refusal does not name the entry: %v", err)
			}
			e.wantExec(t, 1, "test", "-e", e.h.Workspace+"/box/evil")
			e.wantExec(t, 1, "test", "-e", base+"/evil")
			e.wantExec(t, 0, "rm", "-rf", base+"/innocent", base+"/evil", base+"/a", base+"/b")
		})
	}
}

func testBrokenTar(t *testing.T, e *environment) {
	whole, err := io.ReadAll(pack(t, file("broken", 0o644, string(noise(64<<10)))))
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the client went away")
	cut := io.MultiReader(bytes.NewReader(whole[:len(whole)/2]), failing{broken})
	if err := e.h.Runtime.CopyTo(within(t), e.handle.Sandbox.ID, e.h.Workspace, e.h.User, cut); err == nil {
		t.Error("CopyTo of half a stream that then fails: no error")
	}
	if err := e.h.Runtime.CopyTo(within(t), e.handle.Sandbox.ID, e.h.Workspace, e.h.User, bytes.NewReader(whole[:len(whole)/2])); err == nil {
		t.Error("CopyTo of half a stream: no error")
	}
	if err := e.h.Runtime.CopyTo(within(t), e.handle.Sandbox.ID, e.h.Workspace, e.h.User, strings.NewReader(strings.Repeat("not a tar ", 200))); err == nil {
		t.Error("CopyTo of what is no tar: no error")
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
