package pgtest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy stands between a store and its server, for faults of the way between them.
type Proxy struct {
	listener net.Listener
	server   *Server
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}

	// way is closed while everything passes.
	way chan struct{}

	dropCommit atomic.Bool
	// Dropped counts commits whose answer was lost.
	Dropped atomic.Int64
}

// Proxy starts a proxy and ends it with the test; an address that goes by it is that of DSNAt.
func (s *Server) Proxy(t testing.TB) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, server: s, conns: map[net.Conn]struct{}{}, way: make(chan struct{})}
	close(p.way)
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close() // what it accepted is closed next
		p.Heal()
		p.Cut()
		p.wg.Wait()
	})
	return p
}

// DSN gives the address of a database by way of the proxy.
func (p *Proxy) DSN(t testing.TB, database string) string {
	t.Helper()
	dsn, err := p.server.DSNAt(p.listener.Addr().String(), database)
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

// DropNextCommit lets the next COMMIT reach the server and be done there, and cuts the connection
// instead of passing on the answer.
func (p *Proxy) DropNextCommit() { p.dropCommit.Store(true) }

// Blackhole stops everything, both ways, until Heal. It closes nothing: what is sent is acknowledged, new connections are taken, and
// nothing is passed on.
func (p *Proxy) Blackhole() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.way = make(chan struct{})
}

// Heal lets everything pass again, and what was held first.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.way:
	default:
		close(p.way)
	}
}

// pass waits until something may be passed on.
func (p *Proxy) pass() {
	p.mu.Lock()
	way := p.way
	p.mu.Unlock()
	<-way
}

// Cut breaks every connection there is.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close() // a second time does nothing
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		} else if err != nil {
			continue
		}
		server, err := net.Dial("unix", p.server.Socket())
		if err != nil {
			_ = client.Close() // there is no server to speak to
			continue
		}
		p.wg.Go(func() { p.serve(client, server) })
	}
}

// serve passes bytes on until one side ends.
func (p *Proxy) serve(client, server net.Conn) {
	p.mu.Lock()
	p.conns[client], p.conns[server] = struct{}{}, struct{}{}
	p.mu.Unlock()
	var dropping atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.upstream(client, server, &dropping)
		_ = server.Close()
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			break
		}
		if dropping.Load() {
			// The server has answered, so the commit is done.
			p.Dropped.Add(1)
			break
		}
		p.pass()
		if _, err := client.Write(buffer[:n]); err != nil {
			break
		}
	}
	_, _ = client.Close(), server.Close()
	<-done
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, client)
	delete(p.conns, server)
}

// commitMessage is a simple query, as drivers send it: 'Q', four bytes of length, the text and a NUL.
var commitMessage = []byte("Q\x00\x00\x00\x0bcommit\x00")

// upstream passes on what the client says, and sets dropping before a commit that is to be lost.
func (p *Proxy) upstream(client io.Reader, server io.Writer, dropping *atomic.Bool) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if bytes.Contains(bytes.ToLower(buffer[:n]), bytes.ToLower(commitMessage)) && p.dropCommit.CompareAndSwap(true, false) {
			dropping.Store(true)
		}
		p.pass()
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}
