package e2e_test

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy stands between a daemon and the machine's engine, so that a test can
// cut the engine off without touching it.
type proxy struct {
	t    *testing.T
	path string

	// sees, when it is set before the first use, is called with what goes to the engine before it goes there; it may wait.
	sees func(request []byte)
	held *heldRequest

	mu     sync.Mutex
	ln     net.Listener
	conns  map[net.Conn]struct{}
	served sync.WaitGroup
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	p := &proxy{t: t, path: filepath.Join(t.TempDir(), "e.sock"), conns: map[net.Conn]struct{}{}}
	p.open()
	t.Cleanup(p.cut)
	return p
}

// start starts a daemon behind the proxy. However the test ends, the engine is there when the daemon cleans up.
func (p *proxy) start(args ...string) *daemon {
	p.t.Helper()
	d := start(p.t, append([]string{"--engine-host", p.host()}, args...)...)
	p.t.Cleanup(func() {
		if p.held != nil {
			p.held.letGo()
		}
		if p.away() {
			p.open()
		}
	})
	return d
}

func (p *proxy) away() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ln == nil
}

func (p *proxy) host() string { return "unix://" + p.path }

// open lets connections through.
func (p *proxy) open() {
	p.t.Helper()
	ln, err := net.Listen("unix", p.path)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.ln = ln
	p.mu.Unlock()
	p.served.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			p.served.Go(func() { p.serve(in) })
		}
	})
}

// cut drops every connection and takes the socket away, as a dead engine does.
func (p *proxy) cut() {
	p.mu.Lock()
	if p.ln != nil {
		if err := p.ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			p.t.Errorf("close proxy: %v", err)
		}
		p.ln = nil
	}
	for c := range p.conns {
		_ = c.Close() // a cut is what this is
	}
	p.mu.Unlock()
	if p.held != nil {
		p.held.letGo() // into a connection that is no more
	}
	p.served.Wait()
}

func (p *proxy) serve(in net.Conn) {
	out, err := net.Dial("unix", engineSocket)
	if err != nil {
		_ = in.Close() // the other side sees an engine that is away
		return
	}
	p.mu.Lock()
	closed := p.ln == nil
	p.conns[in], p.conns[out] = struct{}{}, struct{}{}
	p.mu.Unlock()
	if closed {
		_ = in.Close()  // cut in the meantime
		_ = out.Close() // likewise
	}
	var copying sync.WaitGroup
	copying.Go(func() { pipe(out, in, p.sees) })
	copying.Go(func() { pipe(in, out, nil) })
	copying.Wait()
	p.mu.Lock()
	delete(p.conns, in)
	delete(p.conns, out)
	p.mu.Unlock()
}

// pipe copies until the end, and then passes the end on: exec's streams close one direction at a time.
func pipe(to, from net.Conn, sees func([]byte)) {
	var reader io.Reader = from
	if sees != nil {
		reader = &watched{from, sees}
	}
	_, err := io.Copy(to, reader)
	if half, ok := to.(*net.UnixConn); ok && err == nil {
		_ = half.CloseWrite() // it may have been cut
		return
	}
	_ = to.Close()   // cut
	_ = from.Close() // cut
}

// watched shows what is read before it is handed on.
type watched struct {
	from io.Reader
	sees func([]byte)
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.from.Read(p)
	w.sees(p[:n])
	return n, err
}

// heldRequest keeps the first request with a text in it until it is let go. It is then handed on, also when its sender is
// no more and nobody waits for the answer: a request that was sent cannot be taken back. Only a cut drops it.
type heldRequest struct {
	text       string
	come, gone sync.Once
	reached    chan struct{}
	release    chan struct{}
	armed      atomic.Bool
}

// sandboxCreate is a request that makes a sandbox, not the holder of a network.
var sandboxCreate = regexp.MustCompile(`/containers/create\?name=bothy-[a-z0-9]+-[a-z0-9]{16}[ &]`)

// holdRequest goes before the daemon's start. A DELETE is not held before arm.
func (p *proxy) holdRequest(text string) *heldRequest {
	h := &heldRequest{text: text, reached: make(chan struct{}), release: make(chan struct{})}
	p.sees = func(request []byte) {
		// What comes before a sandbox is made is about the network that it will join.
		if sandboxCreate.Match(request) && !strings.HasPrefix(h.text, "DELETE") {
			h.arm()
		}
		if h.armed.Load() && strings.Contains(string(request), h.text) {
			h.come.Do(func() {
				close(h.reached)
				<-h.release
			})
		}
	}
	p.held = h
	return h
}

// arm has the next request with the text held: bothyd also removes things that are not the test's.
func (h *heldRequest) arm() { h.armed.Store(true) }

func (h *heldRequest) letGo() { h.gone.Do(func() { close(h.release) }) }

// wait returns when the request has come.
func (h *heldRequest) wait(t *testing.T) {
	t.Helper()
	select {
	case <-h.reached:
	case <-time.After(patience):
		t.Fatalf("no request with %q came", h.text)
	}
}
