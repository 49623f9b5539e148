package chaos_test

import (
	"errors"
	"net"
	"sync"
	"testing"
)

// cuttable stands between a daemon and a unix socket. Cut, it passes nothing on and closes nothing; reset, it breaks every
// connection and refuses others.
type cuttable struct {
	to string

	mu sync.Mutex
	// way is closed while everything passes, held when the one piece that is held may go on.
	way, held chan struct{}
	marks     func(piece []byte) bool
	met       func()
	// conns are both ends of each connection. refuses says that there are to be no more.
	conns   map[net.Conn]struct{}
	refuses bool
}

func newCuttable(t *testing.T, to string) *cuttable {
	t.Helper()
	c := &cuttable{to: to, way: make(chan struct{}), held: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	close(c.way)
	return c
}

// cut stops everything, both ways, until heal. It tells how many connections it met.
func (c *cuttable) cut() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.way:
		c.way = make(chan struct{})
	default: // what waits already must not be forgotten
	}
	return len(c.conns) / 2
}

// reset breaks every connection as a machine does that knows nothing of it (RST), and each new one until heal. It tells how
// many there were.
func (c *cuttable) reset() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuses = true
	for conn := range c.conns {
		_ = breakOff(conn) // it may have just ended
	}
	return len(c.conns) / 2
}

// breakOff ends a connection by RST, where it is one that can.
func breakOff(conn net.Conn) (err error) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		err = tcp.SetLinger(0)
	}
	return errors.Join(err, conn.Close())
}

// holdAt stops the first piece that is marked until heal, and says so. Everything else passes.
func (c *cuttable) holdAt(marks func(piece []byte) bool, met func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.marks, c.met, c.held = marks, met, make(chan struct{})
}

// heal lets everything pass.
func (c *cuttable) heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.marks, c.refuses = nil, false
	for _, gate := range []chan struct{}{c.way, c.held} {
		select {
		case <-gate:
		default:
			close(gate)
		}
	}
}

// pass waits until a piece may be passed on.
func (c *cuttable) pass(piece []byte) {
	c.mu.Lock()
	gate := c.way
	if c.marks != nil && c.marks(piece) {
		gate, c.marks = c.held, nil
		c.met()
	}
	c.mu.Unlock()
	<-gate
}

// listen begins to pass on and gives the address.
func (c *cuttable) listen(t *testing.T, network, address string) string {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go c.serve(conn)
		}
	}()
	return listener.Addr().String()
}

// admit keeps a new connection, unless there are to be none.
func (c *cuttable) admit(conn, server net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.refuses {
		c.conns[conn], c.conns[server] = struct{}{}, struct{}{}
	}
	return !c.refuses
}

func (c *cuttable) serve(conn net.Conn) {
	server, err := net.Dial("unix", c.to)
	if err != nil {
		_ = breakOff(conn)
		return
	}
	if !c.admit(conn, server) {
		_, _ = breakOff(conn), server.Close()
		return
	}
	var both sync.WaitGroup
	for _, way := range []struct{ from, to net.Conn }{{conn, server}, {server, conn}} {
		both.Go(func() {
			buffer := make([]byte, 64<<10)
			for {
				n, err := way.from.Read(buffer)
				if n > 0 {
					c.pass(buffer[:n])
					if _, err := way.to.Write(buffer[:n]); err != nil {
						break
					}
				}
				if err != nil {
					break
				}
			}
			c.pass(nil) // an end passes as little as anything
			if half, ok := way.to.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite() // an exec's input ends before its output does
			}
		})
	}
	both.Wait()
	c.mu.Lock()
	delete(c.conns, conn)
	delete(c.conns, server)
	c.mu.Unlock()
	_, _ = conn.Close(), server.Close()
}
