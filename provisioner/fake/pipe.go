package fake

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeRoom is how many bytes one direction of a connection takes before its writer waits.
const pipeRoom = 64 << 10

// lane is one direction of a connection.
type lane struct {
	mu      sync.Mutex
	data    []byte
	ended   bool // nothing more is written
	broken  bool // nobody reads any more
	changed chan struct{}
}

// change runs do and wakes whoever waits.
func (l *lane) change(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do()
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// try runs do, which says whether it is done; else it gives what is closed with the next change.
func (l *lane) try(do func() (done bool)) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if do() {
		if l.changed != nil {
			close(l.changed)
			l.changed = nil
		}
		return nil
	}
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

// limit is a deadline that can be moved while somebody waits for it.
type limit struct {
	mu     sync.Mutex
	timer  *time.Timer
	passed chan struct{}
}

func (d *limit) set(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.passed // it is about to be closed
	}
	d.timer = nil
	select {
	case <-d.passed:
		d.passed = make(chan struct{})
	default:
	}
	if at.IsZero() {
		return
	}
	passed := d.passed
	if wait := time.Until(at); wait <= 0 {
		close(passed)
		return
	}
	d.timer = time.AfterFunc(time.Until(at), func() { close(passed) })
}

func (d *limit) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.passed
}

// conn is one end of a connection.
type conn struct {
	in, out       *lane
	own, other    net.Addr
	reads, writes limit
	closed        chan struct{}
	once          sync.Once
}

// newPipe makes both ends of a connection to a port.
func newPipe(port int) (near, far *conn) {
	there, back := &lane{}, &lane{}
	at, from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 65535}
	end := func(in, out *lane, own, other net.Addr) *conn {
		c := &conn{in: in, out: out, own: own, other: other, closed: make(chan struct{})}
		c.reads.passed, c.writes.passed = make(chan struct{}), make(chan struct{})
		return c
	}
	return end(back, there, from, at), end(there, back, at, from)
}

func (c *conn) LocalAddr() net.Addr  { return c.own }
func (c *conn) RemoteAddr() net.Addr { return c.other }

func (c *conn) fail(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.own, Addr: c.other, Err: err}
}

// over tells why an end is of no use now; nil when it is.
func (c *conn) over(d *limit) error {
	select {
	case <-c.closed:
		return net.ErrClosed
	case <-d.wait():
		return os.ErrDeadlineExceeded
	default:
		return nil
	}
}

// Read reads what the other end has written.
func (c *conn) Read(b []byte) (n int, err error) {
	for {
		if err := c.over(&c.reads); err != nil {
			return 0, c.fail("read", err)
		}
		wait := c.in.try(func() bool {
			n = copy(b, c.in.data)
			c.in.data = c.in.data[n:]
			return n > 0 || len(b) == 0 || c.in.ended
		})
		switch {
		case wait == nil && n == 0 && len(b) > 0:
			return 0, io.EOF
		case wait == nil:
			return n, nil
		}
		select {
		case <-wait:
		case <-c.closed:
		case <-c.reads.wait():
		}
	}
}

// Write waits for room.
func (c *conn) Write(b []byte) (n int, err error) {
	for {
		if err := c.over(&c.writes); err != nil {
			return n, c.fail("write", err)
		}
		cut := false
		wait := c.out.try(func() bool {
			if cut = c.out.ended || c.out.broken; cut {
				return true
			}
			part := b[n:min(len(b), n+pipeRoom-len(c.out.data))]
			c.out.data = append(c.out.data, part...)
			n += len(part)
			return len(part) > 0 || n == len(b)
		})
		switch {
		case cut:
			return n, c.fail("write", syscall.EPIPE)
		case n == len(b):
			return n, nil
		case wait == nil:
			continue
		}
		select {
		case <-wait:
		case <-c.closed:
		case <-c.writes.wait():
		}
	}
}

// CloseWrite ends what the other end reads.
func (c *conn) CloseWrite() error {
	if err := c.over(&limit{}); err != nil {
		return c.fail("close", err)
	}
	c.out.change(func() { c.out.ended = true })
	return nil
}

// Close ends both directions.
func (c *conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.out.change(func() { c.out.ended = true })
		c.in.change(func() { c.in.broken, c.in.data = true, nil })
	})
	return nil
}

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(at time.Time) error {
	c.reads.set(at)
	c.writes.set(at)
	return nil
}

// SetReadDeadline sets the deadline of Read.
func (c *conn) SetReadDeadline(at time.Time) error { c.reads.set(at); return nil }

// SetWriteDeadline sets the deadline of Write.
func (c *conn) SetWriteDeadline(at time.Time) error { c.writes.set(at); return nil }
