package docker_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/provisioner"
)

// item is one entry of a test's tree.
type item struct {
	Name, Link, Data string
	Type             byte
	Mode             int64
}

func packItems(t testing.TB, items ...item) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, i := range items {
		if i.Type == 0 {
			i.Type = tar.TypeReg
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: i.Type, Name: i.Name, Linkname: i.Link, Mode: i.Mode, Size: int64(len(i.Data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, i.Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func unpackItems(t *testing.T, r io.Reader) []item {
	t.Helper()
	var items []item
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return items
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, item{Name: h.Name, Link: h.Linkname, Data: string(data), Type: h.Typeflag, Mode: h.Mode})
	}
}

func byName(a, b item) int { return strings.Compare(a.Name, b.Name) }

// TestCopyRoundTrip: a tree comes back as it went in: modes, empty files, deep folders, odd names, links.
func TestCopyRoundTrip(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	deep := strings.Repeat("deep/", 40)
	tree := []item{
		{Name: "t/", Type: tar.TypeDir, Mode: 0o755},
		{Name: "t/-rf", Mode: 0o644, Data: "x"},
		{Name: "t/empty", Mode: 0o600},
		{Name: "t/link", Type: tar.TypeSymlink, Link: "sp ace", Mode: 0o777},
		{Name: "t/locked/", Type: tar.TypeDir, Mode: 0o500},
		{Name: "t/locked/in", Mode: 0o400, Data: "in"},
		{Name: "t/new\nline", Mode: 0o640, Data: "x"},
		{Name: "t/run.sh", Mode: 0o755, Data: "#!/bin/sh\n"},
		{Name: "t/sp ace", Mode: 0o644, Data: "x"},
		{Name: "t/wide", Mode: 0o666, Data: "x"},
		{Name: "t/üñí ☃", Mode: 0o644, Data: strings.Repeat("y", 100_000)},
	}
	for i := range 40 {
		tree = append(tree, item{Name: "t/" + deep[:5*(i+1)], Type: tar.TypeDir, Mode: 0o755})
	}
	tree = append(tree, item{Name: "t/" + deep + "end", Mode: 0o644, Data: "end"})
	for i := range tree {
		if tree[i].Type == 0 {
			tree[i].Type = tar.TypeReg
		}
	}
	e.run(id, "mkdir /workspace/sub")
	for _, dir := range []string{"/workspace", "/run/secret", "sub"} {
		t.Run(dir, func(t *testing.T) {
			if err := e.CopyTo(t.Context(), id, dir, "dev", packItems(t, tree...)); err != nil {
				t.Fatal(err)
			}
			out, err := e.CopyFrom(t.Context(), id, dir+"/t", "dev")
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			got := unpackItems(t, out)
			wantEqual(t, "first entry", got[0].Name, "t/")
			want := slices.Clone(tree)
			slices.SortFunc(got, byName)
			slices.SortFunc(want, byName)
			wantEqual(t, "tree", got, want)
		})
	}
	out, _, _ := e.run(id, `stat -c %U:%a /workspace/t/wide /workspace/t/run.sh`)
	wantEqual(t, "owner", out, "dev:666\ndev:755\n")
}

// TestCopyRights: files belong to who copies them, who can write no more than that user could.
func TestCopyRights(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	one := func() io.Reader { return packItems(t, item{Name: "f", Mode: 0o6755, Data: "x"}) }
	if err := e.CopyTo(t.Context(), id, "/root", "root", one()); err != nil {
		t.Fatal(err)
	}
	wantClass(t, e.CopyTo(t.Context(), id, "/etc", "dev", one()), provisioner.Denied)
	wantClass(t, e.CopyTo(t.Context(), id, "/root", "dev", one()), provisioner.NotFound)
	wantClass(t, e.CopyTo(t.Context(), id, "/nosuch", "dev", one()), provisioner.NotFound)
	wantClass(t, e.CopyTo(t.Context(), id, "", "dev", one()), provisioner.Permanent)
	wantClass(t, e.CopyTo(t.Context(), id, "/workspace", "nosuch", one()), provisioner.Permanent)
	_, err := e.CopyFrom(t.Context(), id, "/root/f", "dev")
	wantClass(t, err, provisioner.NotFound)
	out, err := e.CopyFrom(t.Context(), id, "/root/f", "root")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	wantEqual(t, "file", unpackItems(t, out), []item{{Name: "f", Data: "x", Type: tar.TypeReg, Mode: 0o755}})
}

// TestCopyHostile: a bad entry ends the copy with its name; nothing lands outside, and no tar is left waiting.
func TestCopyHostile(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	for name, bad := range map[string]item{
		"../up":  {Name: "../up", Data: "x"},
		"/abs":   {Name: "/abs", Data: "x"},
		"fifo":   {Name: "fifo", Type: tar.TypeFifo},
		"device": {Name: "device", Type: tar.TypeBlock},
		"empty":  {Name: "empty", Type: tar.TypeSymlink, Link: ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := e.CopyTo(t.Context(), id, "/workspace", "dev", packItems(t, item{Name: "good", Mode: 0o644, Data: "x"}, bad))
			wantClass(t, err, provisioner.Permanent)
			if !strings.Contains(err.Error(), fmt.Sprintf("%q", bad.Name)) {
				t.Errorf("error %q does not name %q", err, bad.Name)
			}
		})
	}
	// A link that a process of the sandbox planted leads nowhere its user could not write, and never out of the sandbox.
	e.run(id, "ln -s /etc /workspace/planted")
	err := e.CopyTo(t.Context(), id, "/workspace", "dev", packItems(t, item{Name: "planted/passwd", Mode: 0o644, Data: "x"}))
	wantClass(t, err, provisioner.Permanent)
	out, _, _ := e.run(id, `cd /; ls; cat /etc/passwd`)
	if strings.Contains(out, "up\n") || strings.Contains(out, "abs\n") || !strings.Contains(out, "dev:x:1000") {
		t.Errorf("something was written outside:\n%s", out)
	}
	top, err := e.api.ContainerTop(t.Context(), id, []string{"-o", "pid,comm"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range top.Processes {
		if p[1] == "tar" {
			t.Error("a tar is left inside")
		}
	}
}

// TestCopyToBroken: a source that breaks, or a caller that leaves, is no success.
func TestCopyToBroken(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	whole := packItems(t, item{Name: "f", Mode: 0o644, Data: strings.Repeat("x", 1<<20)}).Bytes()
	broken := errors.New("the line dropped")
	err := e.CopyTo(t.Context(), id, "/workspace", "dev", io.MultiReader(bytes.NewReader(whole[:1<<19]), iotestErr{broken}))
	wantClass(t, err, provisioner.Cancelled)
	err = e.CopyTo(t.Context(), id, "/workspace", "dev", bytes.NewReader(whole[:1<<19]))
	wantClass(t, err, provisioner.Permanent)
	wantClass(t, e.CopyTo(t.Context(), id, "/workspace", "dev", strings.NewReader("no tar")), provisioner.Permanent)

	ctx, cancel := context.WithCancel(t.Context())
	in, feed := io.Pipe()
	defer feed.Close()
	done := make(chan error, 1)
	go func() { done <- e.CopyTo(ctx, id, "/workspace", "dev", in) }()
	if _, err := feed.Write(whole[:1<<19]); err != nil {
		t.Fatal(err)
	}
	cancel()
	wantClass(t, <-done, provisioner.Cancelled)
}

// TestCopyToFull: a sandbox without room says so.
func TestCopyToFull(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	err := e.CopyTo(t.Context(), id, "/run/secret", "dev", packItems(t, item{Name: "f", Mode: 0o644, Data: strings.Repeat("x", 2<<20)}))
	wantClass(t, err, provisioner.Quota)
}

// TestCopyFrom covers what is not there, what cannot be read whole, and a reader that leaves early.
func TestCopyFrom(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	e.run(id, `mkdir d && echo a > d/a && echo b > d/b && chmod 0 d/b && head -c 20000000 /dev/zero > big && ln -s /etc/passwd l`)
	_, err := e.CopyFrom(t.Context(), id, "/workspace/nosuch", "dev")
	wantClass(t, err, provisioner.NotFound)
	_, err = e.CopyFrom(t.Context(), id, "", "dev")
	wantClass(t, err, provisioner.Permanent)
	_, err = e.CopyFrom(t.Context(), noSandbox, "/x", "dev")
	wantClass(t, err, provisioner.NotFound)

	passwd, _, _ := e.run(id, "cat /etc/passwd")
	out, err := e.CopyFrom(t.Context(), id, "/workspace/l", "dev")
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "what the link points to", unpackItems(t, out)[0], item{Name: "l", Data: passwd, Type: tar.TypeReg, Mode: 0o644})
	wantEqual(t, "close", out.Close(), nil)

	out, err = e.CopyFrom(t.Context(), id, "/workspace/d", "dev")
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, out)
	wantClass(t, err, provisioner.Denied)
	if !strings.Contains(err.Error(), "d/b") {
		t.Errorf("error %q does not name the file that could not be read", err)
	}
	wantEqual(t, "close", out.Close(), nil)

	out, err = e.CopyFrom(t.Context(), id, "/workspace/big", "dev")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, out, 1000); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "close", out.Close(), nil)
	until(t, "tar's end", func() bool {
		top, err := e.api.ContainerTop(t.Context(), id, []string{"-o", "pid,comm"})
		if err != nil {
			t.Fatal(err)
		}
		return !slices.ContainsFunc(top.Processes, func(p []string) bool { return p[1] == "tar" })
	})
}

// TestCopyToNamesWhatFailed: each file that could not be written, not the first alone.
func TestCopyToNamesWhatFailed(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	e.run(id, `mkdir one two && chmod 0555 one two`)
	err := e.CopyTo(t.Context(), id, "/workspace", "dev", packItems(t, item{Name: "one/a", Mode: 0o644}, item{Name: "b", Mode: 0o644}, item{Name: "two/c", Mode: 0o644}))
	wantClass(t, err, provisioner.Denied)
	for _, name := range []string{"one/a: Cannot open: Permission denied", "two/c: Cannot open: Permission denied"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("error %q does not say %q", err, name)
		}
	}
	if out, _, _ := e.run(id, "ls b"); out != "b\n" {
		t.Errorf("what could be written is %q", out)
	}
}

// TestCopyFromNotes: what changed while it was read, and what has no place in an archive, is told, and is no fault; so it is of a
// tar that is not GNU's, which reads no options for times.
func TestCopyFromNotes(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	e.run(id, `mkdir flux && echo x >flux/f && ln -s flux lf`)
	for _, forget := range []string{"", "unset TAR_OPTIONS"} {
		// The moment in which a file changes cannot be met, so a tar says that it did.
		var stderr bytes.Buffer
		code, err := e.Exec(t.Context(), id, provisioner.ExecRequest{User: "root", Command: []string{"sh", "-c", `[ -e /bin/real-tar ] || { cat /bin/tar >/bin/real-tar; chmod 755 /bin/real-tar; }; cat >/bin/tar <<'END'
#!/bin/sh
` + forget + `
/bin/real-tar "$@"
echo "tar: flux/f: File shrank by 3 bytes; padding with zeros" >&2
echo "tar: flux/s: socket ignored" >&2
exit 1
END`}}, provisioner.Streams{Stderr: &stderr})
		if err != nil || code != 0 {
			t.Fatalf("code %d, %v: %s", code, err, &stderr)
		}
		out, err := e.CopyFrom(t.Context(), id, "/workspace/lf", "dev")
		if err != nil {
			t.Fatal(err)
		}
		items := unpackItems(t, out)
		if _, err := io.Copy(io.Discard, out); err != nil || len(items) != 2 {
			t.Errorf("%q: %d items, %v", forget, len(items), err)
		}
		wantEqual(t, "notes", out.(provisioner.NotedCopy).Notes(), provisioner.CopyNotes{First: []provisioner.CopyNote{
			{Path: "flux/f", Kind: provisioner.CopyShrank}, {Path: "flux/s", Kind: provisioner.CopySocket},
		}, Count: 2})
		wantEqual(t, "close", out.Close(), nil)
	}
}
