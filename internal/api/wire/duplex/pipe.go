package duplex

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire/heartbeat"
)

const (
	// queue is how many bytes may wait to be written before the next data message has to wait.
	queue = 64 << 10
	// answered is how many bytes may wait while pings are still answered: a data message in full, and some pongs. One who
	// sends pings and takes nothing gets no more pongs than that.
	answered = queue + 128<<10
)

// now is the clock that sockets' deadlines are set on.
var now = time.Now //nolint:forbidigo // deadlines on sockets are set on the real clock

// pipe connects the WebSocket and its connection. Write never waits: one goroutine writes what is queued. So a frame
// that the other side does not take yet never holds the lock under which the WebSocket sends its control frames; it gives
// those five seconds, and then closes the connection or ends the reading, though the other side may only be slow.
// Each byte that is read is a sign of life.
type pipe struct {
	rw     io.ReadWriteCloser
	conn   net.Conn // for deadlines alone
	timing heartbeat.Timing

	life sync.Mutex
	// until, when set, bounds all reading; deadline is the present one.
	until, deadline time.Time

	mu      sync.Mutex
	changed *sync.Cond
	pending []byte
	// spare is the buffer that is not in use, held says that a message is being put together.
	spare         []byte
	writing, held bool
	err           error // why nothing is written any more
	done          chan struct{}
}

// newPipe begins to write what is queued to rw until close, or until a write fails.
func newPipe(rw io.ReadWriteCloser, conn net.Conn, timing heartbeat.Timing) *pipe {
	p := &pipe{rw: rw, conn: conn, timing: timing, done: make(chan struct{})}
	p.changed = sync.NewCond(&p.mu)
	go p.run()
	return p
}

func (p *pipe) Read(b []byte) (int, error) {
	for {
		if err := p.heard(); err != nil {
			return 0, err
		}
		n, err := p.rw.Read(b)
		timeout, ok := errors.AsType[net.Error](err)
		switch {
		case !ok || !timeout.Timeout():
			if errors.Is(err, io.EOF) {
				// The WebSocket would take a message that was cut off for a whole one.
				err = io.ErrUnexpectedEOF
			}
			return n, err
		case n == 0 && p.late():
			continue
		}
		return n, errors.Join(heartbeat.ErrSilent, err)
	}
}

// heard begins the wait anew.
func (p *pipe) heard() error {
	p.life.Lock()
	defer p.life.Unlock()
	if !p.until.IsZero() {
		return nil
	}
	return p.wait(p.timing.Patience)
}

// late reports whether the end of the wait was seen so late that this process itself did not run: it was stopped, or its
// machine was. What came meanwhile is then still to be read.
func (p *pipe) late() bool {
	p.life.Lock()
	defer p.life.Unlock()
	return p.until.IsZero() && now().Sub(p.deadline) > p.timing.Every
}

// within bounds all that is still to be read, whatever is heard; 0 lifts that.
func (p *pipe) within(d time.Duration) error {
	p.life.Lock()
	defer p.life.Unlock()
	if p.until = (time.Time{}); d == 0 {
		return p.wait(p.timing.Patience)
	}
	err := p.wait(d)
	p.until = p.deadline
	return err
}

func (p *pipe) wait(d time.Duration) error {
	p.deadline = now().Add(d)
	return p.conn.SetReadDeadline(p.deadline)
}

// Write queues b.
func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return 0, p.err
	}
	p.pending = append(p.pending, b...)
	if !p.held {
		p.changed.Broadcast()
	}
	return len(b), nil
}

// hold keeps what is queued from being written in parts, until it is released.
func (p *pipe) hold(held bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held = held; !held {
		p.changed.Broadcast()
	}
}

// trim lets go of the buffers of a connection that is quiet.
func (p *pipe) trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.writing {
		p.spare = nil
	}
	if len(p.pending) == 0 {
		p.pending = nil
	}
}

// run writes what is queued.
func (p *pipe) run() {
	defer close(p.done)
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		for (len(p.pending) == 0 || p.held) && p.err == nil {
			p.changed.Wait()
		}
		if p.err != nil {
			p.pending = nil
			return
		}
		out := p.pending
		p.pending, p.writing, p.spare = p.spare[:0], true, nil
		p.mu.Unlock()
		_, err := p.rw.Write(out)
		p.mu.Lock()
		if p.writing = false; err != nil && p.err == nil {
			p.err = err
		}
		if cap(out) <= answered {
			p.spare = out
		}
		p.changed.Broadcast()
	}
}

// room waits until a data message may be queued, or nothing is written any more.
func (p *pipe) room() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.pending) >= queue && p.err == nil {
		p.changed.Wait()
	}
	return p.err
}

// answers reports whether a ping may be answered.
func (p *pipe) answers() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pending) < answered
}

// flush waits until all that was queued was written, or nothing is written any more.
func (p *pipe) flush() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for (len(p.pending) > 0 || p.writing) && p.err == nil {
		p.changed.Wait()
	}
	return p.err
}

// Close closes the connection; what is still queued is lost.
func (p *pipe) Close() error {
	p.mu.Lock()
	if p.err == nil {
		p.err = net.ErrClosed
	}
	p.changed.Broadcast()
	p.mu.Unlock()
	return p.rw.Close()
}
