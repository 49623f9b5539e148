package e2e_test

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
)

// proxy stands between a daemon and the machine's engine, so that a test can
// cut the engine off without touching it.
type proxy struct {
	t    *testing.T
	path string

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
	copying.Go(func() { pipe(out, in) })
	copying.Go(func() { pipe(in, out) })
	copying.Wait()
	p.mu.Lock()
	delete(p.conns, in)
	delete(p.conns, out)
	p.mu.Unlock()
}

// pipe copies until the end, and then passes the end on: exec's streams close one direction at a time.
func pipe(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if half, ok := to.(*net.UnixConn); ok && err == nil {
		_ = half.CloseWrite() // it may have been cut
		return
	}
	_ = to.Close()   // cut
	_ = from.Close() // cut
}
