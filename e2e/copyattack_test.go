package e2e_test

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// hijack waits for a tar of the same user, stops it, and writes another archive into its output: what any code in a sandbox can do,
// without root. Then it ends that tar.
const hijack = `
base64 -d >/tmp/evil.tar <<X
%s
X
touch /tmp/waits
while :; do
  for p in /proc/[0-9]*; do
    read -r c <$p/comm 2>/dev/null || continue
    [ "$c" = tar ] || continue
    kill -STOP ${p#/proc/} && cat /tmp/evil.tar >$p/fd/1
    kill -KILL ${p#/proc/}
    exit
  done
done
`

// evilTar is the archive of an attacker who wants to write next to the folder that is copied.
func evilTar(t *testing.T, topmostLink bool) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	entries := []tar.Header{
		{Name: "out/", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "out/l", Typeflag: tar.TypeSymlink, Linkname: "..", Mode: 0o777},
		{Name: "out/l/.git/hooks/pre-commit", Typeflag: tar.TypeReg, Mode: 0o755}, {Name: "out/l/Makefile", Typeflag: tar.TypeReg, Mode: 0o644},
		{Name: "out/result.txt", Typeflag: tar.TypeReg, Mode: 0o644},
	}
	if topmostLink {
		entries = []tar.Header{{Name: "out", Typeflag: tar.TypeSymlink, Linkname: ".git/hooks", Mode: 0o777}, {Name: "out/pre-commit", Typeflag: tar.TypeReg, Mode: 0o755}}
	}
	for _, h := range entries {
		content := ""
		if h.Typeflag == tar.TypeReg {
			content = "#!/bin/sh\necho EVIL\n"
		}
		h.Size = int64(len(content))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// TestCodeInASandboxCannotWriteBesideACopy: a copy out whose stream code inside has taken over, in a work tree with hooks.
func TestCodeInASandboxCannotWriteBesideACopy(t *testing.T) {
	needsEngine(t)
	t.Parallel()
	d := start(t)
	d.bothy("up", "--size", "small", "--source", "none", "--name", "web").want(t, 0)
	// Large enough that tar is still there when it is looked for.
	d.bothy("exec", "web", "--", "sh", "-c", "mkdir out && head -c 50000000 /dev/zero >out/big").want(t, 0)
	for _, topmostLink := range []bool{false, true} {
		t.Run(fmt.Sprintf("topmost link %v", topmostLink), func(t *testing.T) {
			tree := t.TempDir()
			for name, text := range map[string]string{"Makefile": "precious", ".git/hooks/pre-commit": "precious", "victim": "precious"} {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(tree, name)), 0o700); err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(tree, name), text)
			}
			d.bothy("exec", "web", "--", "sh", "-c", "rm -f /tmp/waits; cat >/tmp/hijack <<'END'\n"+fmt.Sprintf(hijack, evilTar(t, topmostLink))+"END\nsetsid sh /tmp/hijack >/dev/null 2>&1 </dev/null &\nwhile [ ! -e /tmp/waits ]; do sleep 0.1; done").want(t, 0)
			got := d.bothyIn(tree, nil, "cp", "web:out", ".")
			if got.code == 0 {
				t.Errorf("the copy ended with 0: %s", got.String())
			}
			if !strings.Contains(got.String(), "signal 9") && !strings.Contains(got.String(), "out/l") && !strings.Contains(got.String(), "archive") && !strings.Contains(got.String(), "is a link") {
				t.Errorf("nothing is said of what was wrong: %s", got.String())
			}
			t.Log(got.String())
			list := exec.Command("find", ".", "-path", "./out/*", "-prune", "-o", "-type", "f", "-print", "-o", "-type", "l", "-print")
			list.Dir = tree
			found, err := list.Output()
			if err != nil {
				t.Fatal(err)
			}
			if names := strings.Fields(string(found)); len(names) != 3 {
				t.Errorf("beside the copy there is %v", names)
			}
			for _, name := range []string{"Makefile", ".git/hooks/pre-commit", "victim"} {
				if text, err := os.ReadFile(filepath.Join(tree, name)); err != nil || string(text) != "precious" {
					t.Errorf("%s holds %q, %v", name, text, err)
				}
			}
		})
	}

	// What cannot be read is told by name, and is no success, whatever goes where.
	d.bothy("exec", "web", "--", "sh", "-c", "mkdir -p ur/sub && echo 1 >ur/1 && echo 2 >ur/2 && echo s >ur/sub/s && chmod 0 ur/2 ur/sub").want(t, 0)
	dir := t.TempDir()
	d.bothyIn(dir, nil, "cp", "web:ur", "o1").want(t, 1, "ur/2: ", "ur/sub: ", "Permission denied", "1 file", "o1")
	d.bothyIn(dir, nil, "cp", "web:ur", "-").want(t, 1, "ur/2: ", "Permission denied")
	d.bothyIn(dir, nil, "cp", "web:ur/2", "o2").want(t, 1, "ur/2", "Permission denied")
	if text, err := os.ReadFile(filepath.Join(dir, "o1", "1")); err != nil || string(text) != "1\n" {
		t.Errorf("what could be read is %q, %v", text, err)
	}
	d.bothy("down", "web").want(t, 0)
}
