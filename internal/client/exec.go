package client

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/api/wire/duplex"
)

// ExecStreams connects a command to its caller. Nil members are not connected: no stdin, discarded
// output.
type ExecStreams struct {
	// Stdin is read only if ExecStart.Stdin is set. A Read that is blocked when the command ends
	// stays blocked; its data is lost.
	Stdin io.Reader
	// Stdout and Stderr are written from one goroutine. A slow writer slows the command.
	Stdout, Stderr io.Writer
	// Resize delivers terminal sizes while a TTY runs.
	Resize <-chan wire.ExecSize
	// Signals delivers names from wire.ExecSignals.
	Signals <-chan string
	// Closing Stop asks the daemon to end the command and its descendants. Exec continues until the daemon
	// confirms.
	Stop <-chan struct{}
	// Suspend announces that this process is about to stop, so that the daemon keeps the command for
	// wire.ExecSuspendFor, or that it continues.
	Suspend <-chan Suspension
	// Ended is called with the end of the command before Exec returns, unless the daemon did not report it.
	Ended func(wire.ExecResult)
}

// sameVersion is the hint for an answer that bothy cannot parse.
const sameVersion = "check that bothy and bothyd have the same version: bothy version"

// Suspension announces that this process stops or continues. Told is closed once the daemon knows.
type Suspension struct {
	Stops bool
	Told  chan<- struct{}
}

// Exec runs a command in an environment and returns its exit code (128+n if signal n ended it). The
// error is about bothy, never about the command's failure. When ctx ends, the daemon ends the
// command.
func (c *Client) Exec(ctx context.Context, nameOrID string, start wire.ExecStart, streams ExecStreams) (exitCode int, err error) {
	if streams.Stdin == nil {
		start.Stdin = false
	}
	first, err := encodeStart(start)
	if err != nil {
		return 0, err
	}
	conn, err := c.dialExec(ctx, nameOrID)
	if err != nil {
		return 0, err
	}
	x := &execution{client: c, conn: conn, streams: streams, done: make(chan struct{})}
	x.credit = sync.NewCond(&x.creditMu)
	x.window = wire.ExecWindow
	// Closing the connection makes the daemon end the command.
	unhook := context.AfterFunc(ctx, func() { _ = conn.Close() })
	var senders sync.WaitGroup
	defer func() {
		unhook()
		x.stop()
		_ = conn.Close() // nothing can be lost after the last message
		senders.Wait()
	}()

	if err := conn.WriteText(first); err != nil {
		return 0, c.lost(ctx, err)
	}
	if start.Stdin {
		go x.sendInput()
	}
	senders.Go(x.sendControls)
	senders.Go(func() { conn.Beat(x.done, func() error { return conn.Write(wire.ExecAlive, nil) }) })
	return x.receive(ctx)
}

func (c *Client) dialExec(ctx context.Context, nameOrID string) (*duplex.Conn, error) {
	header := http.Header{}
	c.identify(header)
	conn, answer, err := duplex.Dial(ctx, c.endpoint(nil, "v1", "environments", nameOrID, "exec"), duplex.Dialing{ //nolint:bodyclose // Dial reads and closes the body
		Transport: c.http.Transport, Header: header, Protocol: wire.ExecProtocol,
		Handshake: 20 * time.Second, MaxAnswer: maxOne + 1, Timing: c.heartbeat,
	})
	if err != nil {
		return nil, c.lost(ctx, err)
	}
	if answer != nil {
		return nil, c.answered(answer)
	}
	conn.SetReadLimit(wire.ExecMaxMessage)
	return conn, nil
}

// execution is one running exec.
type execution struct {
	client  *Client
	conn    *duplex.Conn
	streams ExecStreams
	done    chan struct{}

	inputErr atomic.Pointer[error]

	creditMu sync.Mutex
	credit   *sync.Cond
	window   int
	stopped  bool
}

// receive handles the messages of the daemon until the last one.
func (x *execution) receive(ctx context.Context) (int, error) {
	for {
		kind, msg, err := x.conn.Read()
		if inputErr := x.inputErr.Load(); err != nil && inputErr != nil {
			return 0, fmt.Errorf("cannot read stdin: %w", *inputErr)
		}
		if err != nil {
			if reason, ok := duplex.Closed(err); ok {
				err = fmt.Errorf("%w (%s)", io.ErrUnexpectedEOF, reason)
			}
			return 0, x.client.suspended(x.conn.Suspended(), x.client.lost(ctx, err))
		}
		if kind != duplex.Binary || len(msg) == 0 {
			continue
		}
		data := msg[1:]
		switch msg[0] {
		case wire.ExecStdout:
			err = writeTo(x.streams.Stdout, data)
		case wire.ExecStderr:
			err = writeTo(x.streams.Stderr, data)
		case wire.ExecCredit:
			if len(data) == 4 {
				x.grant(int(binary.BigEndian.Uint32(data)))
			}
		case wire.ExecExit:
			return x.result(data)
		}
		if err != nil {
			return 0, fmt.Errorf("cannot write output: %w", err)
		}
	}
}

func (x *execution) result(data []byte) (int, error) {
	var r wire.ExecResult
	if err := json.Unmarshal(data, &r); err != nil {
		return 0, &Error{Code: wire.CodeInternal, Sentence: "cannot parse the exit code from the daemon", Hint: sameVersion, Err: err}
	}
	if x.streams.Ended != nil {
		x.streams.Ended(r)
	}
	if r.Problem != nil {
		return r.ExitCode, fromProblem(*r.Problem)
	}
	// A shell uses 8 bits: 256 would be success.
	if r.ExitCode < 0 || r.ExitCode > 255 {
		return 0, &Error{Code: wire.CodeInternal, Sentence: fmt.Sprintf("invalid exit code %d from the daemon: want 0 to 255", r.ExitCode),
			Hint: sameVersion}
	}
	return r.ExitCode, nil
}

func writeTo(w io.Writer, data []byte) error {
	if w == nil {
		return nil
	}
	_, err := w.Write(data)
	return err
}

// sendInput sends stdin, never more than the daemon has room for.
func (x *execution) sendInput() {
	buf := make([]byte, 32<<10)
	for {
		room := x.reserve(len(buf))
		if room == 0 {
			return
		}
		n, err := x.streams.Stdin.Read(buf[:room])
		x.grant(room - n)
		if n > 0 && x.conn.Write(wire.ExecStdin, buf[:n]) != nil {
			return // receive reports the error of the connection
		}
		if errors.Is(err, io.EOF) {
			_ = x.conn.Write(wire.ExecStdinEOF, nil)
			return
		}
		if err != nil {
			// A truncated stdin must not look complete.
			x.inputErr.Store(&err)
			_ = x.conn.Flush()
			_ = x.conn.Close()
			return
		}
	}
}

// sendControls forwards sizes and signals until the command has ended.
func (x *execution) sendControls() {
	resize, signals, stop := x.streams.Resize, x.streams.Signals, x.streams.Stop
	for {
		var kind byte
		var msg []byte
		var told chan<- struct{}
		select {
		case <-x.done:
			return
		case change := <-x.streams.Suspend:
			if kind, told = wire.ExecResume, change.Told; change.Stops {
				kind = wire.ExecSuspend
			}
		case <-stop:
			stop = nil
			kind = wire.ExecStop
		case size, ok := <-resize:
			if !ok {
				resize = nil
				continue
			}
			data, err := json.Marshal(size)
			if err != nil {
				continue
			}
			kind, msg = wire.ExecResize, data
		case name, ok := <-signals:
			if !ok {
				signals = nil
				continue
			}
			kind, msg = wire.ExecSignal, []byte(name)
		}
		if x.conn.Write(kind, msg) != nil {
			return
		}
		if told != nil {
			_ = x.conn.Flush() // receive reports an error
			close(told)
		}
	}
}

// reserve waits for room and takes at most most bytes of it; 0 if the command has ended.
func (x *execution) reserve(most int) int {
	x.creditMu.Lock()
	defer x.creditMu.Unlock()
	for x.window == 0 && !x.stopped {
		x.credit.Wait()
	}
	if x.stopped {
		return 0
	}
	n := min(most, x.window)
	x.window -= n
	return n
}

func (x *execution) grant(n int) {
	x.creditMu.Lock()
	defer x.creditMu.Unlock()
	x.window += n
	x.credit.Broadcast()
}

func (x *execution) stop() {
	close(x.done)
	x.creditMu.Lock()
	defer x.creditMu.Unlock()
	x.stopped = true
	x.credit.Broadcast()
}
