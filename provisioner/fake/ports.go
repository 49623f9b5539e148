package fake

import (
	"context"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

var _ provisioner.Ports = (*Runtime)(nil)

// backlog is how many connections wait for Accept.
const backlog = 128

// listener listens at a port of a sandbox, on behalf of a process inside or of the daemon: both have one set of ports. It is this
// process's own, on a shared folder too.
type listener struct {
	w     *World
	id    string
	port  int
	since time.Time // when the sandbox started that it belongs to
	queue chan *conn
	once  sync.Once
	// closed ends with the listener, ended with what watches its sandbox.
	closed context.Context
	close  context.CancelFunc
	ended  chan struct{}
}

// CanDial reports that there are always means.
func (r *Runtime) CanDial() error {
	return r.w.undeclared("reach ports of sandboxes", r.w.like.can.Ports)
}

// Dial connects to a port of a sandbox.
func (r *Runtime) Dial(ctx context.Context, id string, port int) (net.Conn, error) {
	const op = "dial port of sandbox"
	if err := provisioner.CheckPort(op, port); err != nil {
		return nil, err
	}
	var at *listener
	err := r.w.simple(ctx, OpDial, r.w.environmentOf(id), func() (err error) {
		at, err = r.w.listens(op, id, port)
		return err
	})
	if err != nil {
		return nil, err
	}
	c, err := dial(ctx, at, port)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// listens returns what listens at a port of a sandbox; nil when nothing does, an error when the sandbox has ended. Within tx.
func (w *World) listens(op, id string, port int) (*listener, error) {
	c, err := w.container(op, id)
	switch {
	case err != nil:
		return nil, err
	case c.Sandbox.ended():
		return nil, provisioner.Errorf(provisioner.Conflict, op, "the sandbox is not running")
	}
	if l := w.ports[id][port]; l != nil && l.since.Equal(c.Sandbox.Status.StartedAt) { // else it is about to notice its end
		return l, nil
	}
	return nil, nil
}

// dial waits for a place in a listener's queue; nil listens nowhere.
func dial(ctx context.Context, at *listener, port int) (*conn, error) {
	refused := provisioner.Errorf(provisioner.Refused, "dial port of sandbox", "nothing listens at port %d of the sandbox", port)
	if at == nil {
		return nil, refused
	}
	near, far := newPipe(port)
	select {
	case at.queue <- far:
	case <-at.closed.Done():
		return nil, refused
	case <-ctx.Done():
		return nil, cancelled(OpDial, ctx.Err())
	}
	select {
	case <-at.closed.Done():
		at.drain() // it may have looked before
	default:
	}
	return near, nil
}

// Listen listens at a port of a sandbox until that ends or starts anew.
func (r *Runtime) Listen(ctx context.Context, id string, port int) (net.Listener, error) {
	const op = "listen in sandbox"
	if err := provisioner.CheckPort(op, port); err != nil {
		return nil, err
	}
	var l *listener
	err := r.w.simple(ctx, OpListen, r.w.environmentOf(id), func() (err error) {
		l, err = r.w.listen(op, id, port)
		return err
	})
	if err != nil {
		if l != nil { // a fault struck after all was done
			l.shut()
		}
		return nil, err
	}
	go func() {
		defer close(l.ended)
		defer l.shut()
		// Without an error the sandbox has ended; with one, Close has.
		_ = r.w.await(l.closed, func() (bool, error) {
			c, ok := r.w.resources.rows[id]
			return !ok || c.Sandbox.ended() || !c.Sandbox.Status.StartedAt.Equal(l.since), nil
		})
	}()
	return l, nil
}

// listen takes a port. Within tx.
func (w *World) listen(op, id string, port int) (*listener, error) {
	other, err := w.listens(op, id, port)
	if err != nil {
		return nil, err
	}
	if other != nil {
		return nil, &provisioner.Error{
			Class: provisioner.Conflict, Op: op, Err: provisioner.ErrPortTaken, Sentence: "port " + strconv.Itoa(port) + " of the sandbox is taken",
		}
	}
	l := &listener{
		w: w, id: id, port: port, since: w.resources.rows[id].Sandbox.Status.StartedAt,
		queue: make(chan *conn, backlog), ended: make(chan struct{}),
	}
	l.closed, l.close = context.WithCancel(context.Background()) // it outlives the call
	if w.ports[id] == nil {
		w.ports[id] = map[int]*listener{}
	}
	w.ports[id][port] = l
	return l, nil
}

// shut frees the port and resets who waits.
func (l *listener) shut() {
	l.once.Do(func() {
		l.w.mu.Lock()
		if l.w.ports[l.id][l.port] == l {
			delete(l.w.ports[l.id], l.port)
		}
		if len(l.w.ports[l.id]) == 0 {
			delete(l.w.ports, l.id)
		}
		l.w.mu.Unlock()
		l.close()
		l.drain()
	})
}

func (l *listener) drain() {
	for {
		select {
		case c := <-l.queue:
			_ = c.Close() // never fails
		default:
			return
		}
	}
}

// Accept returns the next connection.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed.Done():
	default:
		select {
		case c := <-l.queue:
			return c, nil
		case <-l.closed.Done():
		}
	}
	return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
}

// Addr is a port of 127.0.0.1.
func (l *listener) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: l.port}
}

// Close ends the listener and what watches the sandbox.
func (l *listener) Close() error {
	l.shut()
	<-l.ended
	return nil
}

// echoPort is "tcp-echo PORT": it listens, says "ready" and sends back what it is sent.
func (p *process) echoPort(args []string) int {
	port, ok := portOf(args)
	if !ok {
		return p.fail("tcp-echo: want PORT")
	}
	var l *listener
	err := p.w.tx(func() (err error) {
		l, err = p.w.listen("listen", p.id, port)
		return err
	})
	if err != nil {
		return p.fail("tcp-echo: %v", err)
	}
	defer context.AfterFunc(p.ctx, l.shut)()
	defer l.shut()
	p.echo([]string{"ready"})
	for {
		c, err := l.Accept()
		if err != nil {
			return exitByKillCode
		}
		go func() {
			defer context.AfterFunc(p.ctx, func() { _ = c.Close() })() // never fails
			_, _ = io.Copy(c, c)                                       // to whichever end
			_ = c.Close()                                              // never fails
		}()
	}
}

// connectPort is "tcp-connect PORT": it sends its input, and prints what comes back.
func (p *process) connectPort(args []string) int {
	port, ok := portOf(args)
	if !ok {
		return p.fail("tcp-connect: want PORT")
	}
	var at *listener
	err := p.w.tx(func() (err error) {
		at, err = p.w.listens("connect", p.id, port)
		return err
	})
	if err != nil {
		return p.fail("tcp-connect: %v", err)
	}
	c, err := dial(p.ctx, at, port)
	if err != nil {
		return p.fail("tcp-connect: %v", err)
	}
	end := func() { _ = c.Close() } // never fails
	defer context.AfterFunc(p.ctx, end)()
	defer end()
	go func() { // whoever is at the other end may answer before it has all
		if _, err := io.Copy(c, p.stdin); err == nil {
			_ = c.CloseWrite() // fails once the connection is over
		}
	}()
	if _, err := io.Copy(p.out, c); err != nil {
		return p.fail("tcp-connect: %v", err)
	}
	return 0
}

func portOf(args []string) (int, bool) {
	if len(args) != 1 {
		return 0, false
	}
	port, err := strconv.Atoi(args[0])
	return port, err == nil
}
