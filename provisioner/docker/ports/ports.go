// Package ports dials and listens in sandboxes' network namespaces.
package ports

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/hostproc"
	"github.com/bothy-env/bothy/provisioner/docker/sandbox"
)

// A socket belongs to the network namespace that it was made in, whoever uses it. So a thread of this process enters the sandbox's
// namespace, makes a socket there, which waits for nobody, and goes back. All the rest (connect, accept, read) happens in Go's
// poller, where a sandbox that does not answer holds no thread.

var _ provisioner.Ports = (*Ports)(nil)

const (
	opDial   = "dial port of sandbox"
	opListen = "listen in sandbox"
	// mainTries bounds how often a sandbox is asked for that starts again and again.
	mainTries = 3
)

// mainProcess is the first process of a sandbox, whose end is the sandbox's.
type mainProcess struct {
	pid int
	// started is when it started, in the kernel's ticks since boot: with it a number that has passed to another process shows.
	started uint64
}

// mains remembers the main processes of sandboxes, so that a Dial asks no engine. What it says is verified at each use.
type mains struct {
	mu sync.Mutex
	of map[string]mainProcess
}

func (m *mains) get(id string) (mainProcess, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.of[id]
	return p, ok
}

func (m *mains) put(id string, p mainProcess) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of == nil || len(m.of) >= engine.MostKnown {
		m.of = map[string]mainProcess{}
	}
	m.of[id] = p
}

func (m *mains) forget(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.of, id)
}

// Ports reaches the ports of sandboxes. It is safe for use by many goroutines.
type Ports struct {
	engine *engine.Client
	mains  mains
}

// New returns Ports.
func New(e *engine.Client) *Ports { return &Ports{engine: e} }

// Forget drops what is known of a sandbox that is gone.
func (p *Ports) Forget(id string) { p.mains.forget(id) }

// CanDial reports whether this process can enter the network namespaces of sandboxes.
func (p *Ports) CanDial() error {
	if why := p.Lacking(); why != nil {
		return provisioner.Errorf(provisioner.Permanent, opDial, "ports of sandboxes cannot be reached: %w", why)
	}
	return nil
}

// Lacking returns why this process cannot enter the network namespaces of sandboxes; nil when it can.
func (p *Ports) Lacking() error {
	if !p.engine.Local {
		return errors.New("the engine is on another machine")
	}
	return portMeans()
}

// mayReach refuses what no sandbox is asked for.
func (p *Ports) mayReach(ctx context.Context, op, id string, port int) error {
	if err := provisioner.CheckPort(op, port); err != nil {
		return err
	}
	if err := engine.CheckID(op, id); err != nil {
		return err
	}
	if err := p.CanDial(); err != nil {
		return engine.During(op, err)
	}
	return p.engine.Fail(ctx, op, ctx.Err())
}

// Dial connects to a port of a sandbox's 127.0.0.1.
func (p *Ports) Dial(ctx context.Context, id string, port int) (net.Conn, error) {
	if err := p.mayReach(ctx, opDial, id, port); err != nil {
		return nil, err
	}
	fd, main, err := p.socketIn(ctx, opDial, id)
	if err != nil {
		return nil, err
	}
	main.Release() // the connection ends with its other end
	cctx, cancel := p.engine.Call(ctx)
	defer cancel()
	conn, err := connect(cctx, fd, port)
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() == nil && cctx.Err() != nil:
		return nil, provisioner.Errorf(provisioner.Transient, opDial, "port %d of the sandbox has not accepted the connection within %s", port, p.engine.Timeout)
	case errors.Is(err, errNobody):
		return nil, provisioner.Errorf(provisioner.Refused, opDial, "%w port %d of the sandbox", errNobody, port)
	}
	return nil, p.portFailure(ctx, opDial, err)
}

// Listen listens at a port of a sandbox's 127.0.0.1.
func (p *Ports) Listen(ctx context.Context, id string, port int) (net.Listener, error) {
	if err := p.mayReach(ctx, opListen, id, port); err != nil {
		return nil, err
	}
	fd, main, err := p.socketIn(ctx, opListen, id)
	if err != nil {
		return nil, err
	}
	l, err := listen(fd, main, port)
	if errors.Is(err, provisioner.ErrPortTaken) {
		return nil, &provisioner.Error{
			Class: provisioner.Conflict, Op: opListen, Err: provisioner.ErrPortTaken,
			Sentence: fmt.Sprintf("port %d of the sandbox is taken: a process inside, or another service of the daemon, listens there", port),
		}
	}
	if err != nil {
		return nil, p.portFailure(ctx, opListen, err)
	}
	return l, nil
}

// errNobody is why a connection was refused.
var errNobody = errors.New("nothing listens at")

// portFailure tells what the kernel refused.
func (p *Ports) portFailure(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return p.engine.Fail(ctx, op, ctx.Err())
	}
	return provisioner.Errorf(provisioner.Transient, op, "the kernel refuses: %w", err)
}

// socketIn makes a TCP socket in a sandbox's network namespace, and gives the pinned main process, which the caller releases.
func (p *Ports) socketIn(ctx context.Context, op, id string) (fd int, main *hostproc.Process, err error) {
	if known, ok := p.mains.get(id); ok {
		if fd, main, _, err = enter(id, known); !errors.Is(err, errOther) {
			return fd, main, p.enterFailure(op, err)
		}
		p.mains.forget(id)
	}
	for range mainTries {
		c, err := p.engine.Container(ctx, op, id)
		if err != nil {
			return 0, nil, err
		}
		switch {
		case c.ID != id || !p.engine.Owns(c.Config.Labels):
			return 0, nil, engine.Foreign(op, engine.KindContainer, id)
		case c.HostConfig.NetworkMode.IsHost():
			return 0, nil, p.enterFailure(op, errHostNetwork)
		case !hasMain(c.State):
			return 0, nil, provisioner.Errorf(provisioner.Conflict, op, "the sandbox is not running")
		}
		fd, main, started, err := enter(id, mainProcess{pid: c.State.Pid})
		if errors.Is(err, errOther) {
			continue // it has ended since, or has started anew
		}
		if err == nil {
			p.mains.put(id, mainProcess{c.State.Pid, started})
		}
		return fd, main, p.enterFailure(op, err)
	}
	return 0, nil, provisioner.Errorf(provisioner.Transient, op,
		"the sandbox's main process is not seen here as the engine tells it: the sandbox starts and ends again and again, or bothyd runs in a container")
}

func hasMain(s *container.State) bool {
	status := sandbox.StatusOf(s)
	return (status.Running || status.Paused) && s.Pid > 1
}

var (
	// errOther: the process is gone, or is not the container's main process.
	errOther = errors.New("another process")
	// errHostNetwork: to dial or listen there would be to do it on the machine itself.
	errHostNetwork = errors.New("the sandbox has no network namespace of its own: it shares the machine's network")
)

func (p *Ports) enterFailure(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errHostNetwork):
		return provisioner.Errorf(provisioner.Permanent, op, "%w", err)
	}
	return provisioner.Errorf(provisioner.Transient, op, "cannot enter the sandbox's network namespace: %w", err)
}
