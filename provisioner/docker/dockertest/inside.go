package dockertest

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
)

// Ported is an engine whose sandboxes' ports this process may reach.
func Ported(t testing.TB, change ...func(*docker.Config)) *Engine {
	t.Helper()
	e := New(t, change...)
	err := e.CanDial()
	can, asked := e.Facts(t.Context())
	if asked != nil || can.Ports != (err == nil) || can.Ports != (can.NoPorts == "") {
		t.Fatalf("CanDial gives %v, Facts %v, %q, error %v", err, can.Ports, can.NoPorts, asked)
	}
	if err != nil {
		t.Skip("there is no means to reach ports:", err)
	}
	return e
}

// Background runs a probe inside that says "ready", until the test's end.
func (e *Engine) Background(id string, command ...string) {
	e.T.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var said Output
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = e.Exec(ctx, id, provisioner.ExecRequest{Command: append([]string{"probe"}, command...), User: "dev"}, provisioner.Streams{Stdout: &said}) // ends with the test
	}()
	e.T.Cleanup(func() { stop(); <-done })
	Until(e.T, "a command inside that is ready", func() bool { return said.Has("ready") })
}

// ReserveNetwork reserves a network for the test and returns its attachment.
func (e *Engine) ReserveNetwork() string {
	e.T.Helper()
	name, err := e.Reserve(context.Background(), e.Owner())
	if err != nil {
		e.T.Fatal(err)
	}
	return string(name)
}

// Output is output that can be waited on while a command runs.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (w *Output) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Write(p)
}

// Has reports whether a text was written.
func (w *Output) Has(s string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.buf.String(), s)
}

// String returns what was written so far.
func (w *Output) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}
