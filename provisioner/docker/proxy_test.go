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
				if _, err := c.Write(b[:n]); err != nil {
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
