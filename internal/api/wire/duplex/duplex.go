// Package duplex is a WebSocket of which both sides know that the other lives.
//
// It uses coder/websocket, whose control frames get five seconds: a ping or a pong that waits for longer behind data that
// nobody takes closes the connection, and one whose reader is in a pager, or was stopped with Ctrl-Z, would be cut off though it
// lives. Here nothing waits in the WebSocket itself: pipe queues what is written, data messages wait for room before they enter, and a
// side is alive as long as any byte comes from it. As whole messages are written at once and buffers are kept while a stream flows, it
// also costs less than gorilla/websocket did in its place (BenchmarkExecStreams: 64 MiB out of the daemon took 0.05 s of CPU time after
// 0.3 s, into it 0.4 s after 0.7 s).
package duplex

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/bothy-env/bothy/internal/api/wire/heartbeat"
)

// unanswered is how many pings may wait for their pongs. One who reads answers each; to one who does not, more say no more.
const unanswered = 4

// Conn is one connection. Read is for one goroutine, all else for many.
type Conn struct {
	ws     *websocket.Conn
	pipe   *pipe
	timing heartbeat.Timing

	sending sync.Mutex
	// message is the last binary message that was sent, kept to make the next one in, received the last that came.
	message, received []byte

	running sync.Mutex
	// ran is when this process ran last, by the clock on the wall; it did not run for the time gap until resumed.
	ran, resumed time.Time
	gap          time.Duration
}

func newConn(ws *websocket.Conn, p *pipe, timing heartbeat.Timing) *Conn {
	return &Conn{ws: ws, pipe: p, timing: timing, ran: wall()}
}

// Kind is a message's.
type Kind int

// Kinds of messages.
const (
	Text   = Kind(websocket.MessageText)
	Binary = Kind(websocket.MessageBinary)
)

// ErrTooBig says that a message had more bytes than the limit.
var ErrTooBig = websocket.ErrMessageTooBig

// SetReadLimit bounds a message of the other side, in bytes; one that has more ends the connection (ErrTooBig).
func (c *Conn) SetReadLimit(n int64) { c.ws.SetReadLimit(n) }

// Read gives the next message, which is valid until the next Read, or heartbeat.ErrSilent when nothing came for as long as the
// patience.
func (c *Conn) Read() (Kind, []byte, error) {
	// The connection's own deadlines bound it: a context that ends would close it, with what is still to be said.
	kind, r, err := c.ws.Reader(context.Background())
	if err != nil {
		return 0, nil, err
	}
	if cap(c.received) > answered {
		c.received = nil
	}
	for msg := c.received[:0]; ; {
		msg = slices.Grow(msg, 4096)
		n, err := r.Read(msg[len(msg):cap(msg)])
		msg = msg[:len(msg)+n]
		c.received = msg
		if errors.Is(err, io.EOF) {
			return Kind(kind), msg, nil
		}
		if err != nil {
			return 0, nil, err
		}
	}
}

// WriteText sends one text message, and waits while too much is still to be written.
func (c *Conn) WriteText(msg []byte) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	if err := c.pipe.room(); err != nil {
		return err
	}
	return c.ws.Write(context.Background(), websocket.MessageText, msg)
}

// Write sends one binary message, a byte and data, and waits while too much is still to be written.
func (c *Conn) Write(first byte, data []byte) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	if err := c.pipe.room(); err != nil {
		return err
	}
	c.message = append(append(c.message[:0], first), data...)
	c.pipe.hold(true)
	defer c.pipe.hold(false)
	return c.ws.Write(context.Background(), websocket.MessageBinary, c.message)
}

// trim lets go of buffers now and then: most connections are quiet most of the time.
func (c *Conn) trim() {
	c.pipe.trim()
	if c.sending.TryLock() {
		c.message = nil
		c.sending.Unlock()
	}
}

// Flush waits until all that was sent was handed to the network. It ends when the other side is found to be gone, by a Read
// that is under way, and when the connection is closed.
func (c *Conn) Flush() error { return c.pipe.flush() }

// Within bounds all that is still to be read, whatever is heard; 0 goes back to the patience.
func (c *Conn) Within(d time.Duration) error { return c.pipe.within(d) }

// Beat shows until done is closed that this side lives. A side that reads all the time sends pings (sign is nil). One that may not
// read for long sends a message of its own by sign: it would not see the pongs, and pings without pongs are not sent on.
func (c *Conn) Beat(done <-chan struct{}, sign func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	var pings sync.WaitGroup
	defer pings.Wait()
	defer cancel()
	var waiting atomic.Int32
	tick := time.NewTicker(c.timing.Every)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		c.runs()
		c.trim()
		if sign != nil {
			_ = sign() // Whether the other side lives, Read finds.
			continue
		}
		if waiting.Load() >= unanswered {
			continue
		}
		waiting.Add(1)
		pings.Go(func() {
			defer waiting.Add(-1)
			_ = c.ws.Ping(ctx) // Whether the other side lives, Read finds.
		})
	}
}

// wall is the clock on the wall, which goes on while a machine sleeps.
var wall = func() time.Time { return now().Round(0) }

// runs notes that this process runs.
func (c *Conn) runs() {
	c.running.Lock()
	defer c.running.Unlock()
	at := wall()
	if gap := at.Sub(c.ran); gap >= c.timing.Patience {
		c.gap, c.resumed = gap, at
	}
	c.ran = at
}

// Suspended gives for how long this process, with Beat under way, was not running until a short time ago: it was stopped by a
// signal, or its machine was asleep. It is 0 when that was not for as long as the patience.
func (c *Conn) Suspended() time.Duration {
	c.runs()
	c.running.Lock()
	defer c.running.Unlock()
	if c.gap == 0 || c.ran.Sub(c.resumed) > c.timing.Patience {
		return 0
	}
	return c.gap
}

// Close closes the connection at once.
func (c *Conn) Close() error {
	err := c.pipe.Close()
	// The pipe's error is the one that counts: the WebSocket closes the same again.
	_ = c.ws.CloseNow()
	<-c.pipe.done
	return err
}

// ping says whether a ping is answered.
func (p *pipe) ping(context.Context, []byte) bool { return p.answers() }

// Closed reports whether the other side ended the connection by a close frame, and gives what it said.
func Closed(err error) (reason string, ok bool) {
	ce, ok := errors.AsType[websocket.CloseError](err)
	return ce.Error(), ok
}
