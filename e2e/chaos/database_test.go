package chaos_test

import (
	"bytes"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
)

// TestPostgresDies: the database server is killed and started again while daemons are busy. Nothing that was
// acknowledged is lost, and the daemons go on without being started again.
func TestPostgresDies(t *testing.T) {
	t.Parallel()
	chance := seeded(t)
	server := pgtest.Own(t, pgtest.Options{})
	h := mustHouse(t, setup{dsn: server.Database(t), daemons: 2})
	s := &script{h: h}
	if err := s.fillPools(t.Context()); err != nil {
		t.Fatal(err)
	}
	load := startLoad(t.Context(), h, 4, chance)
	deaths := pick(2, 20)
	for range deaths {
		time.Sleep(time.Duration(500+chance.IntN(1000)) * time.Millisecond)
		server.Kill(t)
		time.Sleep(time.Duration(chance.IntN(1500)) * time.Millisecond)
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	load.end(t, s)
	s.mustSettle(t)
	if n := h.killed(); n > 0 {
		t.Errorf("%d daemons died with the database", n)
	}
	t.Logf("%d deaths of the server under %d requests", deaths, len(s.orders))
}

// TestCommitReplyLost: the connection to the database breaks when it has committed, before it can say so. Whether
// it did is not known, and every request still comes to be exactly once.
func TestCommitReplyLost(t *testing.T) {
	t.Parallel()
	chance := seeded(t)
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	p := newCommitProxy(t, server, dsn, chance)
	h := mustHouse(t, setup{dsn: dsn, through: p.dsn, daemons: 2})
	s := &script{h: h}
	if err := s.fillPools(t.Context()); err != nil {
		t.Fatal(err)
	}
	load := startLoad(t.Context(), h, 4, chance)
	p.every.Store(15)
	time.Sleep(time.Duration(pick(6, 120)) * time.Second)
	load.end(t, s)
	p.every.Store(0)
	s.mustSettle(t)
	lost := p.lost.Load()
	if lost == 0 {
		t.Error("no reply was lost: nothing was tried")
	}
	t.Logf("%d replies of COMMIT were lost under %d requests", lost, len(s.orders))
}

// commitProxy stands between daemons and PostgreSQL, and now and then breaks a connection when the server has
// committed and before the daemon hears of it.
type commitProxy struct {
	dsn, server string
	// every: one of so many commits is not answered; 0 for none.
	every, lost atomic.Int64

	mu     sync.Mutex
	chance *rand.Rand
}

func newCommitProxy(t *testing.T, server *pgtest.Server, dsn string, chance *rand.Rand) *commitProxy {
	t.Helper()
	address, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &commitProxy{server: server.Socket(), chance: chance}
	if p.dsn, err = server.DSNAt(listener.Addr().String(), strings.TrimPrefix(address.Path, "/")); err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close() // Accept says so
		serving.Wait()
	})
	return p
}

// serve passes one connection on in both directions until one side ends it, or the proxy breaks it.
func (p *commitProxy) serve(daemon net.Conn) {
	defer daemon.Close()
	server, err := net.Dial("unix", p.server)
	if err != nil {
		return // the daemon sees its connection end
	}
	defer server.Close()
	var silent atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.answers(server, daemon, &silent)
		_ = daemon.Close()
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := daemon.Read(buffer)
		if n > 0 {
			// A commit is a short message of its own.
			if bytes.Contains(bytes.ToLower(buffer[:n]), []byte("commit\x00")) && p.chosen() {
				silent.Store(true)
			}
			if _, err := server.Write(buffer[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	_ = server.Close() // ends the other direction
	<-done
}

// answers passes what the server says on, until the answer that is to be lost.
func (p *commitProxy) answers(server, daemon net.Conn, silent *atomic.Bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if silent.Load() && bytes.Contains(buffer[:n], []byte("COMMIT\x00")) {
			p.lost.Add(1)
			return
		}
		if n > 0 {
			if _, err := daemon.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *commitProxy) chosen() bool {
	every := p.every.Load()
	if every == 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.chance.Int64N(every) == 0
}
