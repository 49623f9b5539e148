package docker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/dockertest"
)

// TestExec covers what a command's caller sees: code, streams apart, user, folder, environment.
func TestExec(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	for name, c := range map[string]struct {
		req      provisioner.ExecRequest
		stdin    string
		out, err string
		code     int
	}{
		"true":          {req: provisioner.ExecRequest{Command: []string{"true"}}},
		"false":         {req: provisioner.ExecRequest{Command: []string{"false"}}, code: 1},
		"code":          {req: provisioner.ExecRequest{Command: []string{"sh", "-c", "exit 42"}}, code: 42},
		"killed":        {req: provisioner.ExecRequest{Command: []string{"sh", "-c", "kill -TERM $$"}}, code: 143},
		"not there":     {req: provisioner.ExecRequest{Command: []string{"nosuch"}}, code: 127, err: "sh: 1: exec: nosuch: not found\n"},
		"not a program": {req: provisioner.ExecRequest{Command: []string{"/etc/passwd"}}, code: 126, err: "sh: 1: exec: /etc/passwd: Permission denied\n"},
		"apart":         {req: provisioner.ExecRequest{Command: []string{"sh", "-c", "echo out; echo err >&2; exit 3"}}, out: "out\n", err: "err\n", code: 3},
		"no shell":      {req: provisioner.ExecRequest{Command: []string{"env", "printf", "%s|", "a b", "$HOME", "*", "'", ";ls"}}, code: 127, err: "env: 'printf': No such file or directory\n"},
		"argument list": {req: provisioner.ExecRequest{Command: []string{"sh", "-c", `echo "$#:$1:$2:$3"`, "x", "a b", "$HOME;", ""}}, out: "3:a b:$HOME;:\n"},
		"no builtin":    {req: provisioner.ExecRequest{Command: []string{"exit", "0"}}, code: 127, err: "sh: 1: exec: exit: not found\n"},
		"own user":      {req: provisioner.ExecRequest{Command: []string{"id", "-un"}}, out: "dev\n"},
		"root":          {req: provisioner.ExecRequest{Command: []string{"id", "-u"}, User: "root"}, out: "0\n"},
		"folder":        {req: provisioner.ExecRequest{Command: []string{"sh", "-c", "pwd"}, Dir: "/tmp"}, out: "/tmp\n"},
		"own folder":    {req: provisioner.ExecRequest{Command: []string{"sh", "-c", "pwd"}}, out: "/workspace\n"},
		"environment":   {req: provisioner.ExecRequest{Command: []string{"sh", "-c", `echo "$A|$B"`}, Env: []string{"A=1 2", "B=x=y"}}, out: "1 2|x=y\n"},
		"other PATH":    {req: provisioner.ExecRequest{Command: []string{"/bin/true"}, Env: []string{"PATH=/nowhere"}}},
		"stdin":         {req: provisioner.ExecRequest{Command: []string{"cat"}}, stdin: "hello\x00\xff", out: "hello\x00\xff"},
		"empty stdin":   {req: provisioner.ExecRequest{Command: []string{"wc", "-c"}}, stdin: "EMPTY", out: "0\n"},
		"like the mark": {req: provisioner.ExecRequest{Command: []string{"sh", "-c", "echo bothy-exec-pid 7"}}, out: "bothy-exec-pid 7\n"},
		"like a fault":  {req: provisioner.ExecRequest{Command: []string{"sh", "-c", "echo OCI runtime exec failed; exit 126"}}, out: "OCI runtime exec failed\n", code: 126},
		"silent":        {req: provisioner.ExecRequest{Command: []string{"sh", "-c", "exec sleep 0.3 >/dev/null 2>&1"}}},
		"closed":        {req: provisioner.ExecRequest{Command: []string{"sh", "-c", "exec >&- 2>&-; sleep 0.3; exit 9"}}, code: 9},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			streams := provisioner.Streams{Stdout: &out, Stderr: &errs}
			switch c.stdin {
			case "":
			case "EMPTY":
				streams.Stdin = strings.NewReader("")
			default:
				streams.Stdin = strings.NewReader(c.stdin)
			}
			code, err := e.Exec(t.Context(), id, c.req, streams)
			if err != nil {
				t.Fatal(err)
			}
			type result struct {
				Out, Err string
				Code     int
			}
			wantEqual(t, "result", result{out.String(), strings.ReplaceAll(strings.ReplaceAll(errs.String(), "‘", "'"), "’", "'"), code}, result{c.out, c.err, c.code})
		})
	}
}

// TestExecRefused covers commands that never start.
func TestExecRefused(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	for name, c := range map[string]struct {
		id    string
		req   provisioner.ExecRequest
		class provisioner.Class
		say   string
	}{
		"empty":      {id, provisioner.ExecRequest{}, provisioner.Permanent, "is empty"},
		"option":     {id, provisioner.ExecRequest{Command: []string{"-x"}}, provisioner.Permanent, "dash"},
		"NUL":        {id, provisioner.ExecRequest{Command: []string{"true", "a\x00b"}}, provisioner.Permanent, "NUL"},
		"variable":   {id, provisioner.ExecRequest{Command: []string{"true"}, Env: []string{"A"}}, provisioner.Permanent, "NAME=value"},
		"no user":    {id, provisioner.ExecRequest{Command: []string{"true"}, User: "nosuch"}, provisioner.Permanent, `no user "nosuch"`},
		"no folder":  {id, provisioner.ExecRequest{Command: []string{"true"}, Dir: "/nosuch"}, provisioner.Permanent, `"/nosuch" does not exist`},
		"no sandbox": {noSandbox, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.NotFound, "No such container"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			_, err := e.Exec(t.Context(), c.id, c.req, provisioner.Streams{Stdout: &out})
			wantClass(t, err, c.class)
			if !strings.Contains(err.Error(), c.say) {
				t.Errorf("error %q does not say %q", err, c.say)
			}
			wantEqual(t, "output of a command that did not start", out.String(), "")
		})
	}
	t.Run("stopped", func(t *testing.T) {
		timeout := 0
		if err := e.api.ContainerStop(t.Context(), id, container.StopOptions{Timeout: &timeout}); err != nil {
			t.Fatal(err)
		}
		_, err := e.Exec(t.Context(), id, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{})
		wantClass(t, err, provisioner.Conflict)
	})
}

// TestExecOpenStdin: a command that ends while its input stays open does not hang its caller.
func TestExecOpenStdin(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	in, feed := io.Pipe()
	defer feed.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	code, err := e.Exec(ctx, id, provisioner.ExecRequest{Command: []string{"sh", "-c", "exit 5"}}, provisioner.Streams{Stdin: in})
	if code != 5 || err != nil {
		t.Fatalf("got %d, %v; want 5", code, err)
	}
}

// TestExecBigOutput: 100 MB pass through byte for byte, both ways at once.
func TestExecBigOutput(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	const size = 100 << 20
	var out counter
	code, err := e.Exec(t.Context(), id, provisioner.ExecRequest{Command: []string{"cat"}},
		provisioner.Streams{Stdin: io.LimitReader(zeros{}, size), Stdout: &out})
	if code != 0 || err != nil {
		t.Fatalf("got %d, %v", code, err)
	}
	wantEqual(t, "bytes", int64(out), int64(size))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// sleeps counts the sandbox's processes named "sleep" as the host sees them. The sandbox's own is one of them.
func sleeps(e *engine, id string) int {
	e.t.Helper()
	top, err := e.api.ContainerTop(context.Background(), id, []string{"-o", "pid,comm"})
	if err != nil {
		e.t.Fatal(err)
	}
	n := 0
	for _, p := range top.Processes {
		if p[1] == "sleep" {
			n++
		}
	}
	return n
}

// TestExecCancel: nothing of a cancelled command is left inside, whatever it started and however it ignores signals.
func TestExecCancel(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	for name, script := range map[string]string{
		// With a terminal the shell puts each job in a process group of its own.
		"jobs on a terminal": `set -m; sleep 1000 & sleep 1000 & echo started; wait`,
		"plain":              `echo started; exec sleep 1000`,
		"ignores":            `trap "" INT TERM HUP; echo started; sleep 1000; sleep 1000`,
		"children":           `sleep 1000 & sleep 1000 & (sleep 1000 & sleep 1000) & echo started; wait`,
		"background":         `sleep 1000 & sleep 1000 >/dev/null 2>&1 & echo started; exec sleep 1000`,
	} {
		for _, user := range []string{"dev", "root"} {
			t.Run(name+" as "+user, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var out dockertest.Output
				done := make(chan error, 1)
				go func() {
					_, err := e.Exec(ctx, id, provisioner.ExecRequest{Command: []string{"sh", "-c", script}, User: user,
						TTY: strings.Contains(name, "terminal")}, provisioner.Streams{Stdout: &out})
					done <- err
				}()
				until(t, "the command's start", func() bool { return out.Has("started") })
				until(t, "its processes", func() bool { return sleeps(e, id) > 1 })
				cancel()
				wantClass(t, <-done, provisioner.Cancelled)
				wantEqual(t, "processes left", sleeps(e, id), 1)
			})
		}
	}
}

// TestExecCallerFails: a caller whose input or output breaks ends the command too; a broken input is never taken for its end.
func TestExecCallerFails(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	t.Run("input", func(t *testing.T) {
		broken := errors.New("the line dropped")
		_, err := e.Exec(t.Context(), id, provisioner.ExecRequest{Command: []string{"sh", "-c", "cat > /tmp/got; touch /tmp/complete; sleep 1000"}},
			provisioner.Streams{Stdin: io.MultiReader(strings.NewReader("half"), iotestErr{broken})})
		wantClass(t, err, provisioner.Cancelled)
		if !errors.Is(err, broken) {
			t.Errorf("the cause is lost: %v", err)
		}
		if _, _, code := e.run(id, "[ -e /tmp/complete ]"); code == 0 {
			t.Error("the command took a broken input for a whole one")
		}
	})
	t.Run("output", func(t *testing.T) {
		broken := errors.New("the reader left")
		_, err := e.Exec(t.Context(), id, provisioner.ExecRequest{Command: []string{"sh", "-c", "echo x; exec sleep 1000"}},
			provisioner.Streams{Stdout: failing{broken}})
		wantClass(t, err, provisioner.Cancelled)
		if !errors.Is(err, broken) {
			t.Errorf("the cause is lost: %v", err)
		}
	})
	wantEqual(t, "processes left", sleeps(e, id), 1)
}

type iotestErr struct{ err error }

func (r iotestErr) Read([]byte) (int, error) { return 0, r.err }

type failing struct{ err error }

func (w failing) Write([]byte) (int, error) { return 0, w.err }

// TestExecSignals: signals reach the command's whole group, and it may handle them.
func TestExecSignals(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	for sig, want := range map[string]int{"INT": 7, "SIGTERM": 8, "hup": 9, "KILL": 137} {
		t.Run(sig, func(t *testing.T) {
			sigs := make(chan string, 2)
			var out dockertest.Output
			done := make(chan int, 1)
			go func() {
				code, err := e.Exec(t.Context(), id, provisioner.ExecRequest{Command: []string{"sh", "-c",
					`trap "exit 7" INT; trap "exit 8" TERM; trap "exit 9" HUP; echo ready; while :; do sleep 0.05; done`}},
					provisioner.Streams{Stdout: &out, Signals: sigs})
				if err != nil {
					t.Error(err)
				}
				done <- code
			}()
			until(t, "the traps", func() bool { return out.Has("ready") })
			sigs <- "NOSUCH"
			sigs <- sig
			wantEqual(t, "exit code", <-done, want)
		})
	}
}

// TestExecTTY: one stream, a terminal of the caller's size, typed input not mixed with the wrapper's line.
func TestExecTTY(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	resize := make(chan provisioner.Size, 1)
	resize <- provisioner.Size{Rows: 33, Cols: 101}
	in, feed := io.Pipe()
	var out dockertest.Output
	done := make(chan int, 1)
	go func() {
		code, err := e.Exec(t.Context(), id, provisioner.ExecRequest{TTY: true, Command: []string{"sh", "-c",
			`[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo terminal; echo to-stderr >&2
			while read x; do case $x in size) stty size;; end) exit 6;; esac; done`}},
			provisioner.Streams{Stdin: in, Stdout: &out, Resize: resize})
		if err != nil {
			t.Error(err)
		}
		done <- code
	}()
	until(t, "the terminal", func() bool { return out.Has("terminal\r\n") && out.Has("to-stderr") })
	ask := func(want string) {
		until(t, "size "+want, func() bool {
			if _, err := feed.Write([]byte("size\n")); err != nil {
				t.Fatal(err)
			}
			return out.Has(want)
		})
	}
	ask("33 101")
	resize <- provisioner.Size{Rows: 24, Cols: 80}
	ask("24 80")
	if _, err := feed.Write([]byte("end\n")); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "exit code", <-done, 6)
	if out.Has("bothy-exec-pid") {
		t.Errorf("the wrapper's line shows: %q", out.String())
	}
	wantEqual(t, "the first line", strings.HasPrefix(out.String(), "terminal"), true)
}

// TestExecSandboxDies: a sandbox that is killed or removed while a command runs gives an answer at once.
func TestExecSandboxDies(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	var out dockertest.Output
	done := make(chan error, 1)
	go func() {
		code, err := e.Exec(t.Context(), id, provisioner.ExecRequest{Command: []string{"sh", "-c", "echo on; exec sleep 1000"}}, provisioner.Streams{Stdout: &out})
		if err == nil && code != 137 {
			err = fmt.Errorf("code %d", code)
		}
		if err != nil && !provisioner.Is(err, provisioner.NotFound) {
			done <- err
			return
		}
		done <- nil
	}()
	until(t, "the command's start", func() bool { return out.Has("on") })
	if err := e.api.ContainerRemove(t.Context(), id, container.RemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Fatal("want code 137 or NotFound:", err)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("Exec hangs after its sandbox was removed")
	}
}
