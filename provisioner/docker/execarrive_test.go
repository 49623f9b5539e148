package docker_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
)

// on runs a command with a terminal whose input ends, and gives all that it printed.
func (e *engine) onTerminal(id, stdin string, size provisioner.Size, command ...string) (out string, code int) {
	e.t.Helper()
	var got bytes.Buffer
	code, err := e.Exec(e.t.Context(), id, provisioner.ExecRequest{Command: command, TTY: true, Size: size},
		provisioner.Streams{Stdin: strings.NewReader(stdin), Stdout: &got})
	if err != nil {
		e.t.Fatalf("%q: %v", command, err)
	}
	return strings.ReplaceAll(got.String(), "\r\n", "\n"), code
}

// TestExecTTYInputEnds: with a terminal whose input ends, all that the command says arrives, what it was sent is read,
// and who reads on meets the end.
func TestExecTTYInputEnds(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	for name, c := range map[string]struct {
		stdin, script, out string
		code               int
	}{
		"no input, quick":       {"", `echo hi; exit 3`, "hi\n", 3},
		"no input, later":       {"", `echo one; sleep 0.3; echo two; exit 7`, "one\ntwo\n", 7},
		"input, read later":     {"a\nb\n", `stty -echo; read x; sleep 0.3; read y; echo "got $x $y"`, "got a b\n", 0},
		"input without newline": {"abc", `stty -echo; cat >/tmp/c; echo; cat /tmp/c`, "\nabc", 0},
		"two that read on":      {"", `cat; cat; echo over`, "over\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i := range 10 {
				if name == "two that read on" && i > 0 {
					break // it takes a second
				}
				out, code := e.onTerminal(id, c.stdin, provisioner.Size{}, "sh", "-c", c.script)
				// What is sent before the command turns echo off is echoed.
				if !strings.HasSuffix(out, c.out) || c.stdin == "" && out != c.out || code != c.code {
					t.Fatalf("try %d: got %q, %d; want %q, %d", i, out, code, c.out, c.code)
				}
			}
		})
	}
}

// TestExecTTYSizeAtOnce: a terminal has its caller's size from the command's first moment on.
func TestExecTTYSizeAtOnce(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	for i := range 20 {
		out, code := e.onTerminal(id, "", provisioner.Size{Rows: 40, Cols: uint16(100 + i)}, "stty", "size")
		if want := fmt.Sprintf("40 %d\n", 100+i); out != want || code != 0 {
			t.Fatalf("try %d: got %q, %d; want %q", i, out, code, want)
		}
	}
}

// TestExecVariablesArrive: variables of any name reach the command, the image's own among them, and the shell between adds
// and changes none.
func TestExecVariablesArrive(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox(func(c *container.Config, _ *container.HostConfig) {
		c.Env = append(c.Env, "a.b=from the image", "c-d=hidden", "LOGNAME=own")
	})
	asked := []string{
		"foo.bar=1", "INPUT_MY-INPUT=2 3", "BASH_FUNC_x%%=() { :; }", "-n=4", "c-d=shown", "twice.named=no", "twice.named=yes",
		"go=5", "IFS=,", "OPTIND=9", "PPID=77", "PWD=/not/here", "OLDPWD=/older", "1st=6", "plain=7", "é=8", "empty.one=",
	}
	want := []string{
		"a.b=from the image", "LOGNAME=own", "USER=dev", "SHELL=/bin/sh", "HOME=/home/dev",
		"foo.bar=1", "INPUT_MY-INPUT=2 3", "BASH_FUNC_x%%=() { :; }", "-n=4", "c-d=shown", "twice.named=yes",
		"go=5", "IFS=,", "OPTIND=9", "PPID=77", "PWD=/not/here", "OLDPWD=/older", "1st=6", "plain=7", "é=8", "empty.one=",
	}
	for _, tty := range []bool{false, true} {
		var out bytes.Buffer
		code, err := e.Exec(t.Context(), id, provisioner.ExecRequest{Command: []string{"env"}, Env: asked, TTY: tty}, provisioner.Streams{Stdout: &out})
		if err != nil || code != 0 {
			t.Fatal(code, err)
		}
		got := strings.Split(strings.ReplaceAll(strings.TrimSpace(out.String()), "\r", ""), "\n")
		for _, kv := range want {
			if !slices.Contains(got, kv) {
				t.Errorf("terminal %v: %q did not arrive; got %q", tty, kv, got)
			}
		}
		for _, kv := range got {
			name, _, _ := strings.Cut(kv, "=")
			known := slices.ContainsFunc(want, func(w string) bool { return strings.HasPrefix(w, name+"=") })
			if !known && !slices.Contains([]string{"PATH", "HOSTNAME", "TERM", "LC_ALL", "_", "SHLVL"}, name) {
				t.Errorf("terminal %v: %q was not asked for", tty, kv)
			}
		}
	}
	t.Run("codes", func(t *testing.T) {
		for name, want := range map[string]int{"nosuch": 127, "/etc/passwd": 126, "true": 0, "false": 1} {
			code, err := e.Exec(t.Context(), id, provisioner.ExecRequest{Command: []string{name}, Env: []string{"foo.bar=1"}}, provisioner.Streams{})
			if code != want || err != nil {
				t.Errorf("%s: got %d, %v; want %d", name, code, err, want)
			}
		}
	})
	t.Run("a command with an equals sign", func(t *testing.T) {
		_, err := e.Exec(t.Context(), id, provisioner.ExecRequest{Command: []string{"a=b"}, Env: []string{"foo.bar=1"}}, provisioner.Streams{})
		wantClass(t, err, provisioner.Permanent)
		if !strings.Contains(err.Error(), "foo.bar") && !strings.Contains(err.Error(), "a.b") {
			t.Errorf("%q names no variable", err)
		}
	})
}

// TestExecKnowsItsUser: USER, LOGNAME and SHELL are those of the user asked for, below what the caller says.
func TestExecKnowsItsUser(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	for _, c := range []struct {
		user string
		env  []string
		want string
	}{
		{"", nil, "dev dev /bin/sh /home/dev"},
		{"root", nil, "root root /bin/sh /root"},
		{"1000", nil, "dev dev /bin/sh /home/dev"},
		{"dev:root", nil, "dev dev /bin/sh /home/dev"},
		{"4711:0", nil, "- - - /"},
		{"dev", []string{"USER=me", "SHELL=/bin/other"}, "me dev /bin/other /home/dev"},
	} {
		var out bytes.Buffer
		_, err := e.Exec(t.Context(), id, provisioner.ExecRequest{User: c.user, Env: c.env,
			Command: []string{"sh", "-c", "echo ${USER--} ${LOGNAME--} ${SHELL--} $HOME"}}, provisioner.Streams{Stdout: &out})
		if got := strings.TrimSpace(out.String()); err != nil || got != c.want {
			t.Errorf("user %q with %q: got %q, %v; want %q", c.user, c.env, got, err, c.want)
		}
	}
}

// TestExecForeignBytes: what cannot be told to the engine as it is, is refused with its place, and nothing runs.
func TestExecForeignBytes(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	const bytes = "caf\xe9"
	for place, req := range map[string]provisioner.ExecRequest{
		"argument 2 of the command": {Command: []string{"touch", "/tmp/ran", bytes}},
		"the command":               {Command: []string{bytes}},
		"variable 2":                {Command: []string{"touch", "/tmp/ran"}, Env: []string{"A=1", "B=" + bytes}},
		"the directory":             {Command: []string{"touch", "/tmp/ran"}, Dir: "/" + bytes},
		"the user":                  {Command: []string{"touch", "/tmp/ran"}, User: bytes},
	} {
		_, err := e.Exec(t.Context(), id, req, provisioner.Streams{Stdout: io.Discard})
		wantClass(t, err, provisioner.Permanent)
		if !strings.Contains(err.Error(), place+" contains bytes that are not UTF-8") {
			t.Errorf("%q does not name %s", err, place)
		}
	}
	if _, _, code := e.run(id, "[ -e /tmp/ran ]"); code == 0 {
		t.Error("a command ran without what it was given")
	}
}
