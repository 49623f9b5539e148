package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

func TestExecKeepsOutputErrorsAndExitCodeApart(t *testing.T) {
	d := newDouble()
	var got provisioner.ExecRequest
	d.exec = func(_ context.Context, req provisioner.ExecRequest, s provisioner.Streams) (int, error) {
		got = req
		if s.Stdin != nil {
			t.Error("there is an input though none was asked for")
		}
		_, _ = io.WriteString(s.Stdout, "out")
		_, _ = io.WriteString(s.Stderr, "err")
		_, _ = io.WriteString(s.Stdout, "more")
		return 42, nil
	}
	r := start(t, d)
	var stdout, stderr bytes.Buffer
	code, err := r.client().Exec(limited(t), "otter", wire.ExecStart{
		Command: []string{"sh", "-c", "exit 42"}, User: "root", Dir: "/tmp", Env: []string{"A=b"}, Stdin: true,
	}, client.ExecStreams{Stdout: &stdout, Stderr: &stderr})
	if err != nil || code != 42 {
		t.Errorf("code %d, error %v", code, err)
	}
	if stdout.String() != "outmore" || stderr.String() != "err" {
		t.Errorf("stdout %q, stderr %q", &stdout, &stderr)
	}
	want := provisioner.ExecRequest{Command: []string{"sh", "-c", "exit 42"}, User: "root", Dir: "/tmp", Env: []string{"A=b"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{me(t)}, d.actors); diff != "" {
		t.Errorf("actor (-want +got):\n%s", diff)
	}
}

func TestExecCarriesMuchInputAndItsEnd(t *testing.T) {
	d := newDouble()
	d.exec = func(_ context.Context, _ provisioner.ExecRequest, s provisioner.Streams) (int, error) {
		n, err := io.Copy(s.Stdout, s.Stdin) // cat
		if err != nil {
			return 0, err
		}
		return int(n >> 20), nil
	}
	r := start(t, d)
	input := bytes.Repeat([]byte("0123456789abcde\n"), 5<<16) // 20 windows
	for _, size := range []int{0, 1, wire.ExecWindow, len(input)} {
		var stdout bytes.Buffer
		code, err := r.client().Exec(limited(t), "otter", wire.ExecStart{Command: []string{"cat"}, Stdin: true}, client.ExecStreams{Stdin: bytes.NewReader(input[:size]), Stdout: &stdout})
		if err != nil || code != size>>20 {
			t.Errorf("%d bytes: code %d, error %v", size, code, err)
		}
		if !bytes.Equal(stdout.Bytes(), input[:size]) {
			t.Errorf("%d bytes of input came back as %d others", size, stdout.Len())
		}
	}
}

func TestExecHandsOnSizesAndSignals(t *testing.T) {
	d := newDouble()
	d.exec = func(_ context.Context, req provisioner.ExecRequest, s provisioner.Streams) (int, error) {
		if !req.TTY {
			t.Error("no TTY asked for")
		}
		fmt.Fprint(s.Stdout, <-s.Resize)
		fmt.Fprint(s.Stdout, <-s.Resize)
		fmt.Fprint(s.Stdout, <-s.Signals, <-s.Signals)
		return 130, nil
	}
	r := start(t, d)
	resize, signals, out := make(chan wire.ExecSize), make(chan string), make(chan string, 10)
	go func() {
		<-out // The first size was printed: it came with the start.
		resize <- wire.ExecSize{Rows: 50, Cols: 200}
		<-out
		signals <- "INT"
		signals <- "TERM"
		close(signals)
		close(resize)
	}()
	var all strings.Builder
	code, err := r.client().Exec(limited(t), "otter", wire.ExecStart{Command: []string{"top"}, TTY: true, Size: wire.ExecSize{Rows: 24, Cols: 80}}, client.ExecStreams{
		Stdout: io.MultiWriter(&all, sending(out)), Resize: resize, Signals: signals,
	})
	if err != nil || code != 130 || all.String() != "{24 80}{50 200}INT TERM" && all.String() != "{24 80}{50 200}INTTERM" {
		t.Errorf("code %d, error %v, output %q", code, err, all.String())
	}
}

func TestASignalPassesInputThatNobodyReads(t *testing.T) {
	d := newDouble()
	d.exec = func(ctx context.Context, _ provisioner.ExecRequest, s provisioner.Streams) (int, error) {
		_, _ = io.WriteString(s.Stdout, "up")
		select {
		case sig := <-s.Signals:
			return len(sig), nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	r := start(t, d)
	signals, out := make(chan string, 1), make(chan string, 10)
	sent := &counting{Reader: zeros{}} // an input without end
	go func() {
		<-out
		signals <- "QUIT"
	}()
	code, err := r.client().Exec(limited(t), "otter", wire.ExecStart{Command: []string{"sleep"}, Stdin: true}, client.ExecStreams{Stdin: sent, Stdout: sending(out), Signals: signals})
	if err != nil || code != 4 {
		t.Errorf("code %d, error %v", code, err)
	}
}

func TestTheExitCodeArrivesThoughInputIsOnItsWay(t *testing.T) {
	d := newDouble()
	d.exec = func(context.Context, provisioner.ExecRequest, provisioner.Streams) (int, error) { return 7, nil }
	dir, tcp := withTCP(t)
	r := start(t, d, tcp)
	c := r.clientOf(client.Options{Host: "https://" + r.server.Addr().String(), Token: "sesame", CAFile: dir + "/cert.pem"})
	for i := range 30 {
		code, err := c.Exec(limited(t), "otter", wire.ExecStart{Command: []string{"true"}, Stdin: true}, client.ExecStreams{Stdin: zeros{}})
		if err != nil || code != 7 {
			t.Fatalf("try %d: code %d, error %v", i, code, err)
		}
	}
}

func TestASlowReaderHoldsTheCommandUpAndLosesNothing(t *testing.T) {
	d := newDouble()
	const chunk, chunks = 256 << 10, 64 // 16 MiB
	var written atomic.Int64
	d.exec = func(_ context.Context, _ provisioner.ExecRequest, s provisioner.Streams) (int, error) {
		block := make([]byte, chunk)
		for i := range chunks {
			for j := range block {
				block[j] = byte(i)
			}
			if _, err := s.Stdout.Write(block); err != nil {
				return 0, err
			}
			written.Add(chunk)
		}
		return 0, nil
	}
	r := start(t, d)
	reader, gate := &gated{open: make(chan struct{})}, int64(0)
	done := make(chan error, 1)
	go func() {
		_, err := r.client().Exec(limited(t), "otter", wire.ExecStart{Command: []string{"yes"}}, client.ExecStreams{Stdout: reader})
		done <- err
	}()
	// It runs until the buffers between are full, and then stands still.
	until(t, "the command stands still", func() bool {
		was := gate
		gate = written.Load()
		time.Sleep(20 * time.Millisecond) // how long it must have stood
		return gate == was && gate == written.Load() && reader.waiting.Load()
	})
	if gate > 4<<20 {
		t.Errorf("%d bytes were written for a reader that reads nothing", gate)
	}
	close(reader.open)
	if err := receive(t, "end", done); err != nil {
		t.Error(err)
	}
	if reader.n != chunk*chunks || reader.wrong {
		t.Errorf("%d bytes of %d arrived, out of order: %v", reader.n, chunk*chunks, reader.wrong)
	}
}

func TestAClientThatVanishesEndsTheCommand(t *testing.T) {
	for name, stdin := range map[string]io.Reader{"idle": nil, "with input that nobody reads": zeros{}} {
		t.Run(name, func(t *testing.T) {
			d, ended, out := newDouble(), make(chan error, 1), make(chan string, 1)
			d.exec = func(ctx context.Context, _ provisioner.ExecRequest, s provisioner.Streams) (int, error) {
				_, _ = io.WriteString(s.Stdout, "up")
				<-ctx.Done()
				ended <- ctx.Err()
				return 0, &provisioner.Error{Class: provisioner.Cancelled, Op: "exec"}
			}
			r := start(t, d)
			ctx, cancel := context.WithCancel(limited(t))
			go func() { <-out; cancel() }()
			_, err := r.client().Exec(ctx, "otter", wire.ExecStart{Command: []string{"sleep"}, Stdin: true}, client.ExecStreams{Stdin: stdin, Stdout: sending(out)})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the client got %v", err)
			}
			if err := receive(t, "end of the command", ended); !errors.Is(err, context.Canceled) {
				t.Errorf("the engine got %v", err)
			}
			if strings.Contains(r.log.String(), "level=ERROR") {
				t.Errorf("a client that leaves is no error:\n%s", r.log)
			}
		})
	}
}

func TestAReadThatFailsAtTheClientIsNotTheEndOfInput(t *testing.T) {
	d, read := newDouble(), make(chan error, 1)
	d.exec = func(_ context.Context, _ provisioner.ExecRequest, s provisioner.Streams) (int, error) {
		_, err := io.ReadAll(s.Stdin)
		read <- err
		return 0, err
	}
	r := start(t, d)
	broken := errors.New("disk on fire")
	_, err := r.client().Exec(limited(t), "otter", wire.ExecStart{Command: []string{"cat"}, Stdin: true}, client.ExecStreams{Stdin: io.MultiReader(strings.NewReader("half"), failing{broken})})
	if !errors.Is(err, broken) {
		t.Errorf("the client got %v", err)
	}
	if err := receive(t, "the command's read", read); err == nil {
		t.Error("half an input passed for a whole one")
	}
}

func TestExecTellsWhyItCannotRun(t *testing.T) {
	d := newDouble()
	r := start(t, d)
	run := func() *client.Error {
		t.Helper()
		_, err := r.client().Exec(limited(t), "otter", wire.ExecStart{Command: []string{"x"}}, client.ExecStreams{})
		var e *client.Error
		if !errors.As(err, &e) {
			t.Fatalf("got %v", err)
		}
		return e
	}
	d.exec = func(context.Context, provisioner.ExecRequest, provisioner.Streams) (int, error) {
		return 0, fleet.Errorf(fleet.CodePolicy, "not as root").WithHint("take dev")
	}
	if e := run(); e.Code != "policy" || e.Sentence != "not as root" || e.Hint != "take dev" || e.Status != 403 {
		t.Errorf("refused: %+v", e)
	}
	d.exec = func(context.Context, provisioner.ExecRequest, provisioner.Streams) (int, error) { panic("secret") }
	if e := run(); e.Code != "internal" || strings.Contains(e.Sentence+e.Hint, "secret") {
		t.Errorf("panic: %+v", e)
	}
	contains(t, r.log.String(), "panic in exec: secret")
}

// hand is an exec that is spoken by hand.
type hand struct {
	*websocket.Conn
	ctx context.Context
	// raw is its connection.
	raw net.Conn
}

// speak opens an exec by hand. What is not read of it answers no ping.
func (r *rig) speak() *hand {
	r.t.Helper()
	h := &hand{ctx: limited(r.t)}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (conn net.Conn, err error) {
		h.raw, err = new(net.Dialer).DialContext(ctx, "unix", r.socket)
		return h.raw, err
	}}
	var err error
	h.Conn, _, err = websocket.Dial(h.ctx, "ws://bothyd/v1/environments/otter/exec",
		&websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}, Subprotocols: []string{wire.ExecProtocol}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = h.CloseNow() })
	return h
}

func (h *hand) text(msg string) error {
	return h.Write(h.ctx, websocket.MessageText, []byte(msg))
}

func (h *hand) binary(kind byte, data string) error {
	return h.Write(h.ctx, websocket.MessageBinary, append([]byte{kind}, data...))
}

func TestABreachOfTheExecProtocolEndsItWithAReason(t *testing.T) {
	const begin = `{"command":["x"],"stdin":true}`
	binary := func(kind byte, data string) func(*hand) error {
		return func(c *hand) error { return c.binary(kind, data) }
	}
	for _, c := range []struct {
		name  string
		first func(*hand) error
		then  func(*hand) error
		want  string
	}{
		{name: "binary at first", first: binary(0, "x"), want: "first message must be text"},
		{name: "no JSON at first", first: func(c *hand) error { return c.text("{") }, want: "not an ExecStart"},
		{name: "no word at all", first: func(*hand) error { return nil }, want: "no ExecStart received"},
		{name: "text later", then: func(c *hand) error { return c.text(begin) }, want: "without a type"},
		{name: "empty", then: func(c *hand) error { return c.Write(c.ctx, websocket.MessageBinary, nil) }, want: "without a type"},
		{name: "unknown type", then: binary(99, "x"), want: "unknown type"},
		{name: "unknown signal", then: binary(wire.ExecSignal, "KABOOM"), want: "unknown signal"},
		{name: "odd size", then: binary(wire.ExecResize, `{"rows":-1}`), want: "terminal size"},
		{name: "more than the window", want: "more stdin than the credit allows", then: func(c *hand) error {
			for range wire.ExecWindow/(32<<10) + 1 {
				if err := binary(wire.ExecStdin, strings.Repeat("x", 32<<10))(c); err != nil {
					return err
				}
			}
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDouble()
			d.exec = func(ctx context.Context, _ provisioner.ExecRequest, _ provisioner.Streams) (int, error) {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			r := start(t, d, func(c *apiConfig) { c.HeaderTimeout = 300 * time.Millisecond })
			conn := r.speak()
			if c.first == nil {
				c.first = func(c *hand) error { return c.text(begin) }
			}
			if err := c.first(conn); err != nil {
				t.Fatal(err)
			}
			if c.then != nil {
				if err := c.then(conn); err != nil {
					t.Fatal(err)
				}
			}
			_, msg, err := conn.Read(conn.ctx)
			if err != nil || len(msg) == 0 || msg[0] != wire.ExecExit {
				t.Fatalf("message %q, %v", msg, err)
			}
			var result wire.ExecResult
			if err := json.Unmarshal(msg[1:], &result); err != nil || result.Problem == nil || result.Problem.Code != "invalid" {
				t.Fatalf("result %s, %v", msg, err)
			}
			contains(t, result.Problem.Detail, c.want)
		})
	}
}

func TestExecNeedsItsSubprotocol(t *testing.T) {
	r := start(t, newDouble())
	resp, body := r.raw("GET", "/v1/environments/otter/exec", nil, "Connection", "upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
	if p := problemIn(t, resp, body); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("without: %d %+v", resp.StatusCode, p)
	}
	resp, body = r.raw("GET", "/v1/environments/otter/exec", nil, "Connection", "upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "12", "Sec-WebSocket-Protocol", wire.ExecProtocol, "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
	if p := problemIn(t, resp, body); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("of an old version: %d %+v", resp.StatusCode, p)
	}
}

// sending hands what is written to a channel that has room.
type sending chan<- string

func (s sending) Write(p []byte) (int, error) {
	s <- string(p)
	return len(p), nil
}

// gated takes nothing until it is opened, and then checks what comes.
type gated struct {
	open    chan struct{}
	waiting atomic.Bool
	n       int
	wrong   bool
}

func (g *gated) Write(p []byte) (int, error) {
	g.waiting.Store(true)
	<-g.open
	for _, b := range p {
		g.wrong = g.wrong || b != byte(g.n/(256<<10))
		g.n++
	}
	return len(p), nil
}
