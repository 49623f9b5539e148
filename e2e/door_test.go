package e2e_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bothy-env/bothy/e2e/rig"
)

// nobody is a user id without rights on anything here.
const nobody = 65534

// TestNoDaemon: exit code 5, the address and the next thing to do, for every command that needs it.
func TestNoDaemon(t *testing.T) {
	t.Parallel()
	d := &daemon{t: t, dir: t.TempDir()}
	socket := filepath.Join(d.dir, "s", "bothyd.sock")
	for _, args := range [][]string{
		{"ls"}, {"show", "web"}, {"up", "--source", "none"}, {"exec", "web", "--", "true"}, {"logs", "web"},
		{"cp", "web:x", "."}, {"down", "web"}, {"extend", "web", "--by", "1h"}, {"blueprint", "ls"}, {"doctor"},
	} {
		d.bothy(args...).want(t, 5, socket, "start bothyd")
	}
	d.bothy("ls", "--output", "json").want(t, 5, `"code"`, "unavailable")
}

// TestDaemonDiedAndLeftItsSocket: the socket of a dead daemon is told from none, and the next daemon replaces it.
func TestDaemonDiedAndLeftItsSocket(t *testing.T) {
	t.Parallel()
	d := startFake(t)
	d.kill()
	if _, err := os.Lstat(filepath.Join(d.dir, "s", "bothyd.sock")); err != nil {
		t.Fatalf("a killed daemon leaves its socket, so this test would show nothing: %v", err)
	}
	d.bothy("ls").want(t, 5, "bothyd is not running", "start bothyd")
	d.launch()
	d.bothy("ls").want(t, 0)
}

// TestSocketOfSomebodyElse: another user is refused by the folder's rights, and by the socket's own.
func TestSocketOfSomebodyElse(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root to become another user")
	}
	d := startFake(t)
	program := forEverybody(t, "bothy")
	asNobody := func() result {
		cmd := exec.Command(program, "ls")
		cmd.Dir, cmd.Env = "/", append(rig.CleanEnv(), "BOTHY_HOST="+d.host(), "HOME=/nonexistent")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err == nil {
			t.Error("another user may use the socket")
		} else if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			t.Fatal(err)
		}
		return result{args: []string{"ls"}, code: cmd.ProcessState.ExitCode(), out: out.String(), err: errs.String()}
	}
	asNobody().want(t, 5, "may not use socket", "uid 65534")
	for _, dir := range []string{d.dir, filepath.Join(d.dir, "s")} {
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // so that only the socket's own rights are left
			t.Fatal(err)
		}
	}
	asNobody().want(t, 5, "may not use socket", "uid 65534", "(uid 0)")
	d.bothy("ls").want(t, 0)
	for _, path := range []string{d.state(), filepath.Join(d.state(), "bothy.db"), filepath.Join(d.state(), "key")} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %04o; others may not read it", path, info.Mode().Perm())
		}
	}
}

// forEverybody copies a program to where another user may run it.
func forEverybody(t *testing.T, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bothy-e2e-bin-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	text, err := os.ReadFile(filepath.Join(binDir, name))
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, name)
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(to, text, 0o600), os.Chmod(to, 0o755)); err != nil { //nolint:gosec // it is to be run by all
		t.Fatal(err)
	}
	return to
}

// TestSocketsFolderOpenToOthers: the daemon does not put its socket where another could replace it.
func TestSocketsFolderOpenToOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := filepath.Join(dir, "s")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil { //nolint:gosec // the fault under test
		t.Fatal(err)
	}
	d := &daemon{t: t, dir: dir}
	refused(t, d.command("--driver", "fake"), 1, open, "0777", "chmod 700")
}

// refused runs a daemon that must not start, and checks its code and that its words are one sentence with the texts.
func refused(t *testing.T, cmd *exec.Cmd, code int, texts ...string) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != code {
		t.Fatalf("%v, want exit code %d\n%s", err, code, out)
	}
	for _, text := range texts {
		if !strings.Contains(string(out), text) {
			t.Errorf("%q is missing in: %s", text, out)
		}
	}
	if strings.Contains(string(out), "goroutine ") || strings.Contains(string(out), "Usage:") {
		t.Errorf("a person wants a sentence, not this: %s", out)
	}
}

// TestWrongConfiguration: the key, the nearest known one, and where it is; nothing is made.
func TestWrongConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := &daemon{t: t, dir: dir}
	file := filepath.Join(dir, "bothyd.yaml")
	if err := os.WriteFile(file, []byte("driver: fake\nterraform:\n  binry: /x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, d.command("--config", file), 1, file+":3", "terraform.binry", "did you mean terraform.binary?")
	refused(t, d.command("--config", filepath.Join(dir, "none.yaml")), 1, "none.yaml")
	refused(t, d.command("--stat-dir", dir), 1, "--stat-dir: unknown flag; did you mean --state-dir?")
	refused(t, d.command("--xyzzyplugh"), 1, "--xyzzyplugh: unknown flag; known: --advertise, --blueprint-overrides, ")
	refused(t, d.command("--listen-tcp", "0.0.0.0:8443"), 1, "listen.tcp", "listen.tls_cert")
	refused(t, d.command("--driver", "fake", "--blueprints", filepath.Join(dir, "nowhere")), 1, "nowhere")
	variable := d.command("--driver", "fake")
	variable.Env = append(variable.Env, "BOTHY_LOG_LEVL=debug")
	refused(t, variable, 1, "BOTHY_LOG_LEVL", "did you mean BOTHY_LOG_LEVEL?")
	if _, err := os.Lstat(filepath.Join(dir, "s")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a daemon that did not start has made its socket's folder: %v", err)
	}
}
