package exec

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/provisioner"
)

// shells are those of this host that an image may have as /bin/sh.
func shells(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for name, argv := range map[string][]string{"dash": {"dash"}, "bash": {"bash", "--posix"}, "busybox": {"busybox", "sh"}} {
		if at, err := exec.LookPath(argv[0]); err == nil {
			found[name] = append([]string{at}, argv[1:]...)
		} else {
			t.Logf("this host has no %s; it is left out", name)
		}
	}
	if len(found) == 0 {
		t.Fatal("this host has no shell to test with")
	}
	return found
}

// feed runs the stage's script in a shell of this host and gives its exit code.
func feed(t interface{ Fatal(...any) }, shell []string, dir string, frame []byte) (code int, said string) {
	cmd := exec.Command(shell[0], append(shell[1:], "-c", stageScript, "bothy-stage", dir)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.Stdin = bytes.NewReader(frame)
	out, err := cmd.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited { //nolint:errorlint // as exec returns it
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// TestStageCutShort: wherever the connection breaks off, nothing is written.
func TestStageCutShort(t *testing.T) {
	frame, err := encodeFiles("", []provisioner.File{{Name: "a", Mode: 0o400, Data: []byte("first")}, {Name: "b c", Mode: 0o755, Data: []byte("\x00\n")}})
	if err != nil {
		t.Fatal(err)
	}
	for name, shell := range shells(t) {
		dir := t.TempDir()
		for n := range len(frame) {
			code, said := feed(t, shell, dir, frame[:n])
			if left, err := os.ReadDir(dir); err != nil || len(left) != 0 || code == 0 || strings.Contains(said, "done") {
				t.Fatalf("%s, cut after %d of %d bytes: code %d, %q, left %v, error %v", name, n, len(frame), code, said, left, err)
			}
		}
		if code, said := feed(t, shell, dir, frame); code != 0 || said != "ready\ndone\n" {
			t.Errorf("%s, whole: code %d, %q", name, code, said)
		}
	}
}

// TestStageAnyFiles: whatever bytes and modes are sent come out the same, in every shell.
func TestStageAnyFiles(t *testing.T) {
	for name, shell := range shells(t) {
		t.Run(name, func(t *testing.T) {
			base, runs := t.TempDir(), 0
			rapid.Check(t, func(t *rapid.T) {
				runs++
				dir := filepath.Join(base, rapid.StringMatching(`[a-z]{8}`).Draw(t, "folder"))
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				var files []provisioner.File
				for _, n := range rapid.SliceOfNDistinct(rapid.StringMatching(`[ -.0-~é☂]{1,20}`), 0, 4, rapid.ID).Draw(t, "names") {
					files = append(files, provisioner.File{
						Name: n, Mode: rapid.Uint32Range(0, 0o777).Draw(t, "mode") | 0o400, Data: rapid.SliceOf(rapid.Byte()).Draw(t, "data"),
					})
				}
				frame, err := encodeFiles("", files)
				if err != nil {
					if provisioner.Is(err, provisioner.Permanent) {
						return // a name such as ".."
					}
					t.Fatal(err)
				}
				if code, said := feed(t, shell, dir, frame); code != 0 || !strings.HasSuffix(said, "done\n") {
					t.Fatalf("code %d: %s", code, said)
				}
				for _, f := range files {
					got, err := os.ReadFile(filepath.Join(dir, f.Name))
					if err != nil || !bytes.Equal(got, f.Data) {
						t.Fatalf("%q: %q, error %v; want %q", f.Name, got, err, f.Data)
					}
					if info, err := os.Lstat(filepath.Join(dir, f.Name)); err != nil || uint32(info.Mode()) != f.Mode {
						t.Fatalf("%q: mode %v, error %v; want %o", f.Name, info.Mode(), err, f.Mode)
					}
				}
			})
			if runs == 0 {
				t.Error("no case was tried")
			}
		})
	}
}
