package provisionertest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

var execObligations = []inside{
	{"exit codes are kept", testExitCodes},
	{"stdout and stderr are kept apart", testStreamsApart},
	{"stdin arrives whole and ends", testStdin},
	{"no stdin is an empty one", testNoStdin},
	{"a command that ends does not wait for its stdin", testStdinLeftOpen},
	{"streams may be nil", testNilStreams},
	{"arguments see no shell", testArguments},
	{"variables are set", testVariables},
	{"the working directory is set", testWorkingDirectory},
	{"users are taken", testUsers},
	{"a command that is not there", testNoCommand},
	{"much output arrives whole", testMuchOutput},
	{"signals reach the command", testSignals},
	{"a command that kills itself", testOwnSignal},
	{"cancel ends the command inside", testCancelExec},
	{"many at once", testManyExecs},
}

func testExitCodes(t *testing.T, e *environment) {
	for script, want := range map[string]int{"true": 0, "false": 1, "exit 3": 3, "exit 126": 126, "exit 255": 255} {
		e.wantExec(t, want, "sh", "-c", script)
	}
	e.wantExec(t, 0, "true")
	e.wantExec(t, 1, "false")
}

func testStreamsApart(t *testing.T, e *environment) {
	code, stdout, stderr := e.exec(t, provisioner.ExecRequest{Command: []string{"sh", "-c", "echo out; echo err >&2; exit 4"}}, "")
	if code != 4 || stdout != "out\n" || stderr != "err\n" {
		t.Errorf("exit code %d, stdout %q, stderr %q; want 4, out, err", code, stdout, stderr)
	}
}

func testStdin(t *testing.T, e *environment) {
	sent := noise(1 << 20)
	_, got, _ := e.exec(t, provisioner.ExecRequest{Command: []string{"cat"}}, string(sent))
	if !bytes.Equal([]byte(got), sent) {
		t.Errorf("cat gave %d bytes back that are not the %d sent", len(got), len(sent))
	}
}

// noise is n bytes of every value, the same each time.
func noise(n int) []byte {
	source := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	if _, err := source.Read(b); err != nil {
		panic("read from a generator, which never fails: " + err.Error())
	}
	return b
}

func testNoStdin(t *testing.T, e *environment) {
	if got := e.output(t, "cat"); got != "" {
		t.Errorf("cat without input gave %q", got)
	}
}

func testStdinLeftOpen(t *testing.T, e *environment) {
	in, never := io.Pipe()
	defer never.Close()
	code, err := e.h.Runtime.Exec(within(t), e.handle.Sandbox.ID, provisioner.ExecRequest{Command: []string{"sh", "-c", "exit 7"}}, provisioner.Streams{Stdin: in})
	if code != 7 || err != nil {
		t.Errorf("exit code %d, error %v; want 7", code, err)
	}
}

func testNilStreams(t *testing.T, e *environment) {
	req := provisioner.ExecRequest{Command: []string{"sh", "-c", "echo out; echo err >&2; exit 5"}}
	code, err := e.h.Runtime.Exec(within(t), e.handle.Sandbox.ID, req, provisioner.Streams{})
	if code != 5 || err != nil {
		t.Errorf("exit code %d, error %v; want 5", code, err)
	}
}

func testArguments(t *testing.T, e *environment) {
	args := []string{"$HOME;", "`id`", "a  b", "*", "'", `"`, `\`, "&&", "ünï"}
	if got, want := e.output(t, append([]string{"echo"}, args...)...), strings.Join(args, " ")+"\n"; got != want {
		t.Errorf("echo said %q, want %q", got, want)
	}
}

func testVariables(t *testing.T, e *environment) {
	for name, value := range map[string]string{"PLAIN": "x", "SPACED": "a  b ", "EQUALS": "k=v=w", "ODD": "ünï $HOME 'q'", "EMPTY": ""} {
		req := provisioner.ExecRequest{Command: []string{"printenv", name}, Env: []string{name + "=" + value}}
		if code, got, _ := e.exec(t, req, ""); code != 0 || got != value+"\n" {
			t.Errorf("%s is %q (exit code %d), want %q", name, got, code, value)
		}
	}
	if code, got, _ := e.exec(t, provisioner.ExecRequest{Command: []string{"printenv", "PLAIN"}}, ""); code == 0 {
		t.Errorf("a variable of an earlier command is still set: %q", got)
	}
}

func testWorkingDirectory(t *testing.T, e *environment) {
	if got := e.output(t, "pwd"); got != e.h.Workspace+"\n" {
		t.Errorf("pwd says %q, want the image's own, %s", got, e.h.Workspace)
	}
	if _, got, _ := e.exec(t, provisioner.ExecRequest{Command: []string{"pwd"}, Dir: "/etc"}, ""); got != "/etc\n" {
		t.Errorf("pwd says %q, want /etc", got)
	}
	code, err := e.h.Runtime.Exec(within(t), e.handle.Sandbox.ID, provisioner.ExecRequest{Command: []string{"true"}, Dir: "/no/such"}, provisioner.Streams{})
	if err == nil && code == 0 {
		t.Error("a command ran in a directory that is not there")
	}
}

func testUsers(t *testing.T, e *environment) {
	for asked, want := range map[string]string{"": e.h.User, e.h.User: e.h.User, "root": "root"} {
		if _, got, _ := e.exec(t, provisioner.ExecRequest{Command: []string{"id", "-un"}, User: asked}, ""); got != want+"\n" {
			t.Errorf("user %q: id says %q, want %q", asked, got, want)
		}
	}
	code, err := e.h.Runtime.Exec(within(t), e.handle.Sandbox.ID, provisioner.ExecRequest{Command: []string{"true"}, User: "nobody-of-that-name"}, provisioner.Streams{})
	if err == nil && code == 0 {
		t.Error("a command ran as a user who is not there")
	}
}

// testNoCommand: a shell's answer, 126 or 127, and no error of bothy's side.
func testNoCommand(t *testing.T, e *environment) {
	code, err := e.h.Runtime.Exec(within(t), e.handle.Sandbox.ID, provisioner.ExecRequest{Command: []string{"/no/such/command", "x"}}, provisioner.Streams{})
	if err != nil || code != 126 && code != 127 {
		t.Errorf("exit code %d, error %v; want 126 or 127 and none", code, err)
	}
}

func testMuchOutput(t *testing.T, e *environment) {
	big := noise(8 << 20)
	name := e.h.Workspace + "/much"
	if err := e.h.Runtime.CopyTo(within(t), e.handle.Sandbox.ID, e.h.Workspace, e.h.User, pack(t, file("much", 0o644, string(big)))); err != nil {
		t.Fatalf("CopyTo: %v", err)
	}
	if got := e.output(t, "cat", name); got != string(big) {
		t.Errorf("cat gave %d bytes that are not the file's %d", len(got), len(big))
	}
	e.wantExec(t, 0, "rm", "-f", name)
}

// running is an exec under way.
type running struct {
	ready chan string
	done  chan ended
}

type ended struct {
	code int
	err  error
}

// start runs a command that says "ready" on its first line; streams' Stdout is taken for that.
func (e *environment) start(ctx context.Context, req provisioner.ExecRequest, streams provisioner.Streams) *running {
	r := &running{ready: make(chan string, 1), done: make(chan ended, 1)}
	out, in := io.Pipe()
	streams.Stdout = in
	go func() {
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			line = fmt.Sprintf("%q and then %v", line, err)
		}
		r.ready <- strings.TrimSpace(line)
		_, _ = io.Copy(io.Discard, out) // the rest is nobody's
	}()
	go func() {
		code, err := e.h.Runtime.Exec(ctx, e.handle.Sandbox.ID, req, streams)
		in.Close()
		r.done <- ended{code, err}
	}()
	return r
}

func (r *running) wantReady(t *testing.T) {
	t.Helper()
	if got := receive(t, "its first line", r.ready); got != "ready" {
		t.Fatalf("the command said %s, want ready", got)
	}
}

func testSignals(t *testing.T, e *environment) {
	for name, want := range map[string]int{"TERM": 143, "INT": 130, "HUP": 129, "KILL": 137} {
		t.Run(name, func(t *testing.T) {
			signals := make(chan string)
			r := e.start(within(t), provisioner.ExecRequest{Command: []string{"sh", "-c", "echo ready; exec sleep 86398"}},
				provisioner.Streams{Signals: signals})
			r.wantReady(t)
			send(t, "the signal", signals, name)
			if got := receive(t, "the end of the command", r.done); got.code != want || got.err != nil {
				t.Errorf("exit code %d, error %v; want %d", got.code, got.err, want)
			}
			e.wantGone(t, "sleep 86398")
		})
	}
}

func testOwnSignal(t *testing.T, e *environment) {
	e.wantExec(t, 143, "sh", "-c", "kill -TERM $$")
}

// wantGone waits until no process of that command line is left inside.
func (e *environment) wantGone(t *testing.T, command string) {
	t.Helper()
	ctx := within(t)
	eventually(t, "no process runs "+command, func() bool {
		text, err := e.h.Processes(ctx, e.handle.Sandbox.ID)
		if err != nil {
			t.Fatalf("list processes: %v", err)
		}
		return !strings.Contains(text, command)
	})
}

func testCancelExec(t *testing.T, e *environment) {
	ctx, stop := context.WithCancel(within(t))
	defer stop()
	// A child of the command, so that ending only the command itself is seen.
	r := e.start(ctx, provisioner.ExecRequest{Command: []string{"sh", "-c", "echo ready; sleep 86397; true"}}, provisioner.Streams{})
	r.wantReady(t)
	text, err := e.h.Processes(within(t), e.handle.Sandbox.ID)
	if err != nil || !strings.Contains(text, "sleep 86397") {
		t.Errorf("before the cancel its process is not seen: %q, %v", text, err)
	}
	began := time.Now()
	stop()
	got := receive(t, "the end of the cancelled command", r.done)
	wantClass(t, "Exec, cancelled", got.err, provisioner.Cancelled)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it took %v to return", took)
	}
	e.wantGone(t, "sleep 86397")

	r = e.start(ctx, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{})
	wantClass(t, "Exec with a context that has ended", receive(t, "its refusal", r.done).err, provisioner.Cancelled)
}

func testManyExecs(t *testing.T, e *environment) {
	ctx := within(t)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			var out strings.Builder
			want := fmt.Sprint("number ", i)
			code, err := e.h.Runtime.Exec(ctx, e.handle.Sandbox.ID, provisioner.ExecRequest{Command: []string{"echo", want}}, provisioner.Streams{Stdout: &out})
			if code != 0 || err != nil || out.String() != want+"\n" {
				t.Errorf("exit code %d, error %v, output %q; want %q", code, err, out.String(), want)
			}
		})
	}
	group.Wait()
}

var terminalObligations = []inside{
	{"both outputs are one stream", testTerminal},
	{"a terminal resizes", testResize},
}

func testTerminal(t *testing.T, e *environment) {
	var out, errs strings.Builder
	req := provisioner.ExecRequest{Command: []string{"sh", "-c", "test -t 0 && echo out; echo err >&2; exit 6"}, TTY: true}
	in, open := io.Pipe() // a terminal's input stays open
	defer open.Close()
	code, err := e.h.Runtime.Exec(within(t), e.handle.Sandbox.ID, req, provisioner.Streams{Stdin: in, Stdout: &out, Stderr: &errs})
	if !e.h.Capabilities.TTY {
		wantClass(t, "Exec with a TTY, which is declared absent", err, provisioner.Permanent)
		return
	}
	if err != nil || code != 6 || out.String() != "out\r\nerr\r\n" || errs.Len() != 0 {
		t.Errorf("exit code %d, error %v, stdout %q, stderr %q", code, err, out.String(), errs.String())
	}
}

func testResize(t *testing.T, e *environment) {
	if !e.h.Capabilities.TTY {
		t.Log("terminals are declared absent; the subtest before has tested that they are refused")
		return
	}
	sizes := make(chan provisioner.Size)
	in, keys := io.Pipe()
	defer keys.Close()
	var out strings.Builder
	done := make(chan ended, 1)
	ctx := within(t)
	go func() {
		code, err := e.h.Runtime.Exec(ctx, e.handle.Sandbox.ID, provisioner.ExecRequest{
			Command: []string{"sh", "-c", "read line; stty size"}, TTY: true,
		}, provisioner.Streams{Stdin: in, Stdout: &out, Resize: sizes})
		done <- ended{code, err}
	}()
	// The second is taken only when the first has been dealt with.
	for range 2 {
		send(t, "a size of the terminal", sizes, provisioner.Size{Rows: 41, Cols: 113})
	}
	fmt.Fprintln(keys)
	if got := receive(t, "the end of the command", done); got.code != 0 || got.err != nil || !strings.Contains(out.String(), "41 113") {
		t.Errorf("exit code %d, error %v, output %q; want 41 113 in it", got.code, got.err, out.String())
	}
}
