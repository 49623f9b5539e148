package client_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
)

func TestMain(m *testing.M) {
	if host := os.Getenv(askAsNobody); host != "" {
		fmt.Print(tell(host))
		return
	}
	goleak.VerifyTestMain(m)
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "client")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func connect(t *testing.T, o client.Options) *client.Client {
	t.Helper()
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// peer answers each connection at a socket with the next of the acts; the last one goes on.
func peer(t *testing.T, acts ...func(net.Conn, *http.Request)) (host string, calls *atomic.Int64) {
	t.Helper()
	path := filepath.Join(shortDir(t), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	calls = &atomic.Int64{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			n := int(calls.Add(1))
			if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				acts[min(n, len(acts))-1](conn, req)
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return "unix://" + path, calls
}

func hangUp(net.Conn, *http.Request) {}

func say(status int, contentType, body string) func(net.Conn, *http.Request) {
	return func(c net.Conn, _ *http.Request) {
		fmt.Fprintf(c, "HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, contentType, len(body), body)
	}
}

func half(c net.Conn, _ *http.Request) {
	fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
}

func TestWhyADaemonCannotBeReached(t *testing.T) {
	dir := shortDir(t)
	left := filepath.Join(dir, "left")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: left})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	garbled, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer garbled.Close()
	go func() {
		for {
			conn, err := garbled.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, "SSH-2.0-x\r\n")
			conn.Close()
		}
	}()
	cut, _ := peer(t, hangUp)
	silent, _ := peer(t, func(c net.Conn, _ *http.Request) { _, _ = c.Read(make([]byte, 1)) })

	for _, c := range []struct {
		name, host     string
		cause          client.Cause
		sentence, hint string
	}{
		{"no socket", "unix://" + filepath.Join(dir, "nix"), client.SocketMissing, "does not exist", "start bothyd"},
		{"a file in place of a folder", "unix://" + left + "/s", client.SocketMissing, "does not exist", "start bothyd"},
		{"a socket left over", "unix://" + left, client.Refused, "bothyd is not running", "replaces the old socket"},
		{"a port nobody listens at", "https://" + free.Addr().String(), client.Refused, "connection refused", "check the address"},
		{"something that speaks no TLS", "https://" + garbled.Addr().String(), client.Untrusted, "cannot trust the daemon", "check the address and the port"},
		{"hung up", cut, client.CutOff, "broke before the answer was complete", "retry"},
		{"silence", silent, client.TimedOut, "did not answer in time", "retry"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := connect(t, client.Options{Host: c.host, Timeout: 300 * time.Millisecond})
			_, err := cl.Extend(t.Context(), "x", time.Hour)
			var u *client.Unreachable
			if !errors.As(err, &u) || u.Cause != c.cause || u.Host != c.host {
				t.Fatalf("got %#v", err)
			}
			if !strings.Contains(u.Sentence, c.sentence) || !strings.Contains(u.Hint, c.hint) {
				t.Errorf("sentence %q, hint %q", u.Sentence, u.Hint)
			}
			if client.CodeOf(err) != wire.CodeUnavailable || u.Problem().Detail != u.Sentence {
				t.Errorf("code %q, problem %+v", client.CodeOf(err), u.Problem())
			}
		})
	}
}

func TestASocketWithoutRightsIsToldApart(t *testing.T) {
	dir := shortDir(t)
	host := "unix://" + filepath.Join(dir, "closed", "s")
	if err := os.Mkdir(filepath.Join(dir, "closed"), 0o700); err != nil {
		t.Fatal(err)
	}
	var said string
	if os.Geteuid() != 0 {
		if err := os.Chmod(filepath.Join(dir, "closed"), 0); err != nil {
			t.Fatal(err)
		}
		said = tell(host)
	} else {
		// Root may open everything, so nobody asks.
		said = asNobody(t, dir, host)
	}
	for _, want := range []string{"no_rights", "may not use socket", "run bothy as the user", "listen.unix_group"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q does not contain %q", said, want)
		}
	}
}

const askAsNobody = "BOTHY_TEST_ASK_AS_NOBODY"

// tell gives cause, sentence and hint of what a call of a host comes to.
func tell(host string) string {
	c, err := client.New(client.Options{Host: host})
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	_, err = c.Version(context.Background())
	if u, ok := errors.AsType[*client.Unreachable](err); ok {
		return fmt.Sprint(u.Cause, " ", u.Sentence, " ", u.Hint)
	}
	return fmt.Sprint(err)
}

// asNobody runs this test's program as user nobody, who tells.
func asNobody(t *testing.T, dir, host string) string {
	t.Helper()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, self, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Dir, cmd.Env = "/", []string{askAsNobody + "=" + host}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("ask as nobody: %v: %s", err, out)
	}
	return string(out)
}

func TestOnlyIdempotentCallsAreTriedAgain(t *testing.T) {
	ok := say(200, "application/json", `{"name":"otter"}`)
	for _, c := range []struct {
		name  string
		call  func(context.Context, *client.Client) error
		first func(net.Conn, *http.Request)
		tries int64
		fails bool
	}{
		{"get, hung up", func(ctx context.Context, c *client.Client) error { _, err := c.Get(ctx, "x"); return err }, hangUp, 2, false},
		{"get, half an answer", func(ctx context.Context, c *client.Client) error { _, err := c.Get(ctx, "x"); return err }, half, 2, false},
		{"release", func(ctx context.Context, c *client.Client) error { _, err := c.Release(ctx, "x"); return err }, hangUp, 2, false},
		{"create with a key", func(ctx context.Context, c *client.Client) error {
			_, _, err := c.Create(ctx, wire.CreateRequest{Name: "x"}, "k")
			return err
		}, half, 2, false},
		{"create without a key", func(ctx context.Context, c *client.Client) error {
			_, _, err := c.Create(ctx, wire.CreateRequest{Name: "x"}, "")
			return err
		}, half, 1, true},
		{"extend", func(ctx context.Context, c *client.Client) error { _, err := c.Extend(ctx, "x", time.Hour); return err }, hangUp, 1, true},
		{"extend, not ready yet", func(ctx context.Context, c *client.Client) error { _, err := c.Extend(ctx, "x", time.Hour); return err },
			say(409, wire.ProblemType, `{"status":409,"detail":"d","code":"not_ready"}`), 2, false},
		{"extend, a conflict", func(ctx context.Context, c *client.Client) error { _, err := c.Extend(ctx, "x", time.Hour); return err },
			say(409, wire.ProblemType, `{"status":409,"detail":"d","code":"conflict"}`), 1, true},
		{"get, refused", func(ctx context.Context, c *client.Client) error { _, err := c.Get(ctx, "x"); return err },
			say(503, wire.ProblemType, `{"status":503,"detail":"d","code":"unavailable"}`), 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			host, calls := peer(t, c.first, ok)
			err := c.call(t.Context(), connect(t, client.Options{Host: host}))
			if (err != nil) != c.fails || calls.Load() != c.tries {
				t.Errorf("%d tries, error %v; want %d", calls.Load(), err, c.tries)
			}
		})
	}
	t.Run("when the answer says", func(t *testing.T) {
		host, calls := peer(t, say(409, wire.ProblemType, `{"status":409,"detail":"d","code":"not_ready","retry_after_seconds":1}`), ok)
		began := time.Now()
		if _, err := connect(t, client.Options{Host: host}).Extend(t.Context(), "x", time.Hour); err != nil || calls.Load() != 2 || time.Since(began) < time.Second {
			t.Errorf("%d tries in %s, error %v; want 2 in over a second", calls.Load(), time.Since(began), err)
		}
	})
	t.Run("not ready for ever", func(t *testing.T) {
		host, calls := peer(t, say(409, wire.ProblemType, `{"status":409,"detail":"d","code":"not_ready","retry_after_seconds":-9}`))
		_, err := connect(t, client.Options{Host: host}).Extend(t.Context(), "x", time.Hour)
		if client.CodeOf(err) != wire.CodeNotReady || calls.Load() != 4 {
			t.Errorf("%d tries, %v", calls.Load(), err)
		}
	})
	t.Run("not for ever", func(t *testing.T) {
		host, calls := peer(t, hangUp)
		_, err := connect(t, client.Options{Host: host}).Get(t.Context(), "x")
		if u := (*client.Unreachable)(nil); !errors.As(err, &u) || calls.Load() != 4 {
			t.Errorf("%d tries, %v", calls.Load(), err)
		}
	})
}

func TestARetrySendsTheWholeBodyAndKeyAgain(t *testing.T) {
	bodies := make(chan string, 2)
	read := func(then func(net.Conn, *http.Request)) func(net.Conn, *http.Request) {
		return func(c net.Conn, r *http.Request) {
			buf := make([]byte, r.ContentLength)
			_, _ = r.Body.Read(buf)
			bodies <- r.Header.Get("Idempotency-Key") + string(buf)
			then(c, r)
		}
	}
	host, _ := peer(t, read(hangUp), read(say(200, "application/json", `{}`)))
	_, existed, err := connect(t, client.Options{Host: host}).Create(t.Context(), wire.CreateRequest{Name: "x"}, "k")
	if err != nil || !existed {
		t.Errorf("existed %v, %v", existed, err)
	}
	for range 2 {
		if got := <-bodies; got != `k{"name":"x"}` {
			t.Errorf("sent %s", got)
		}
	}
}

func TestAnAnswerThatIsNotBothysIsSaidToBeSo(t *testing.T) {
	for _, act := range []func(net.Conn, *http.Request){
		say(502, "text/html", "<html>Bad gateway"), say(200, "text/html", "<html>Welcome"),
		say(302, "text/plain", ""), say(404, wire.ProblemType, "{}"), say(503, wire.ProblemType, "no"),
	} {
		host, _ := peer(t, act)
		c := connect(t, client.Options{Host: host})
		var e *client.Error
		if _, err := c.Health(t.Context()); !errors.As(err, &e) || e.Code != wire.CodeInternal || !strings.Contains(e.Sentence, "unexpected answer from ") {
			t.Errorf("got %v", err)
		}
	}
}

// What the daemon says of a stream that its reader has left may still arrive. It was told as a fault of the daemon's.
func TestAReaderThatLeftIsToldItLeftWhateverArrivesAfter(t *testing.T) {
	host, _ := peer(t, say(200, "application/x-ndjson", `{"events":[]}`+"\n"+`{"problem":{"code":"internal","detail":"a fault"}}`+"\n"))
	ctx, leave := context.WithCancel(t.Context())
	err := connect(t, client.Options{Host: host}).Watch(ctx, "otter", 0, func(wire.Update) error { leave(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestWrongOptionsAreRefusedBeforeAnythingIsSent(t *testing.T) {
	junk := filepath.Join(shortDir(t), "ca.pem")
	if err := os.WriteFile(junk, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, o := range []client.Options{
		{Host: "http://127.0.0.1:1"}, {Host: "tcp://127.0.0.1:1"}, {Host: "/run/s"}, {Host: "unix://run/s"}, {Host: "unix://"}, {Host: "ftp://x"},
		{Host: "https://"}, {Host: "https://x/path"}, {Host: "https://u:p@x"}, {Host: "%"}, {Host: "unix:///" + strings.Repeat("x", 120)},
		{Host: "https://x", CAFile: "/nix"}, {Host: "https://x", CAFile: junk},
	} {
		_, err := client.New(o)
		var e *client.Error
		if !errors.As(err, &e) || e.Code != wire.CodeInvalid || e.Hint == "" {
			t.Errorf("%+v: %v", o, err)
		}
	}
	for _, token := range []string{"a\nb", "a\x00", "ü"} {
		if _, err := client.New(client.Options{Host: "https://x", Token: token}); client.CodeOf(err) != wire.CodeInvalid || !strings.Contains(err.Error(), "token") {
			t.Errorf("token %q: %v", token, err)
		}
	}
	own, _ := client.DefaultHost(os.Getenv)
	if c := connect(t, client.Options{}); c.Host() != own || !strings.HasPrefix(c.Host(), "unix:///") {
		t.Errorf("default host %q", c.Host())
	}
}
