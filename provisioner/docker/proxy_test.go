package docker_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/client"

	"github.com/bothy-env/bothy/provisioner/docker"
)

// proxy stands between a Runtime and the engine and can cut or hold the traffic.
type proxy struct {
	addr string

	mu      sync.Mutex
	conns   map[net.Conn]bool
	down    bool   // take no connections
	holdOn  []byte // a request that holds these bytes is never forwarded
	dropOn  []byte // the answer to a request that holds these bytes is cut off: done, but the reply is lost
	dropped int
	slowed  int           // requests that wait, or waited, for the gate
	slowOn  []byte        // a request that holds these bytes is forwarded when the gate is open, whether its client has left or not
	mute    bool          // what the engine says after it has taken over a connection is passed on when the gate is open
	gate    chan struct{} // closed: open
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	p := &proxy{addr: filepath.Join(t.TempDir(), "s"), conns: map[net.Conn]bool{}}
	l, err := net.Listen("unix", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(); p.cut() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			down := p.down
			p.conns[c] = true
			p.mu.Unlock()
			if down {
				_ = c.Close()
				continue
			}
			go p.serve(c)
		}
	}()
	return p
}

func (p *proxy) serve(c net.Conn) {
	defer c.Close()
	up, err := net.Dial("unix", strings.TrimPrefix(client.DefaultDockerHost, "unix://"))
	if err != nil {
		return
	}
	defer up.Close()
	p.mu.Lock()
	p.conns[up] = true
	p.mu.Unlock()
	var lose atomic.Bool
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		b := make([]byte, 64<<10)
		var head []byte // of an answer that takes the connection over
		upgraded := false
		for {
			n, err := up.Read(b)
			if lose.Load() {
				p.mu.Lock()
				p.dropped++
				p.mu.Unlock()
				_ = c.Close()
				return
			}
			if n > 0 {
				rest := b[:n]
				if head = append(head, rest...); !upgraded && bytes.Contains(head, []byte("UPGRADED")) {
					// The answer's head first; what follows in the same piece is the engine's next word.
					if at := bytes.Index(head, []byte("\r\n\r\n")); at >= 0 {
						upgraded = true
						now := at + 4 - (len(head) - n)
						if _, err := c.Write(rest[:now]); err != nil {
							return
						}
						rest = rest[now:]
						p.mu.Lock()
						mute, gate := p.mute, p.gate
						p.mu.Unlock()
						if mute {
							<-gate
						}
					}
				} else {
					head = nil
				}
				if _, err := c.Write(rest); err != nil {
					return
				}
			}
			if err != nil {
				_ = c.(*net.UnixConn).CloseWrite()
				return
			}
		}
	}()
	b := make([]byte, 64<<10)
	for hold := false; ; {
		n, err := c.Read(b)
		p.mu.Lock()
		hold = hold || p.holdOn != nil && bytes.Contains(b[:n], p.holdOn) // and all that follows it
		if p.dropOn != nil && bytes.Contains(b[:n], p.dropOn) {
			lose.Store(true)
		}
		p.mu.Unlock()
		p.mu.Lock()
		slow, gate := p.slowOn != nil && bytes.Contains(b[:n], p.slowOn), p.gate
		if slow {
			p.slowed++
		}
		p.mu.Unlock()
		if slow {
			<-gate
		}
		if n > 0 && !hold {
			if _, err := up.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				_ = up.(*net.UnixConn).CloseWrite()
				// The engine's answer may still come: keep both open until it ends the connection.
				<-answered
			}
			return
		}
	}
}

// waiting counts the requests that were made to wait for the gate.
func (p *proxy) waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.slowed
}

// set changes the proxy's behaviour.
func (p *proxy) set(change func(*proxy)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// cut closes every connection and takes no more.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for c := range p.conns {
		_ = c.Close()
	}
	p.conns = map[net.Conn]bool{}
}

func through(p *proxy) func(*docker.Config) {
	return func(c *docker.Config) { c.Host, c.CallTimeout = "unix://"+p.addr, 2*time.Second }
}
