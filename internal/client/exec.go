package client

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// ExecStreams connects a command to its caller. Nil members are not
// connected: no input, output thrown away.
type ExecStreams struct {
	// Stdin is read only when ExecStart.Stdin is set. A Read that is under way when the
	// command ends is left to finish by itself; what it gives is lost.
	Stdin io.Reader
	// Stdout and Stderr are written from one goroutine. A slow writer slows the command.
	Stdout, Stderr io.Writer
	// Resize delivers terminal sizes while a TTY runs.
	Resize <-chan wire.ExecSize
	// Signals delivers names out of wire.ExecSignals.
	Signals <-chan string
}

// Exec runs a command in an environment and gives its exit code (128+n when
// signal n ended it). The error is about bothy's side, never the command's failure. When ctx
// ends, the command is ended inside, too.
func (c *Client) Exec(ctx context.Context, nameOrID string, start wire.ExecStart, streams ExecStreams) (exitCode int, err error) {
	if streams.Stdin == nil {
		start.Stdin = false
	}
	conn, err := c.dialExec(ctx, nameOrID)
	if err != nil {
		return 0, err
	}
	x := &execution{client: c, conn: conn, streams: streams, done: make(chan struct{})}
	x.credit = sync.NewCond(&x.creditMu)
	x.window = wire.ExecWindow
	// Closing the connection is what ends the command: the daemon sees it go.
	unhook := context.AfterFunc(ctx, func() { _ = conn.Close() })
	var senders sync.WaitGroup
	defer func() {
		unhook()
		x.stop()
		_ = conn.Close() // After the last message there is nothing to lose.
		senders.Wait()
	}()

	first, err := json.Marshal(start)
	if err != nil {
		return 0, fmt.Errorf("encode exec request: %w", err)
	}
	if err := x.write(websocket.TextMessage, first); err != nil {
		return 0, c.lost(ctx, err)
	}
	if start.Stdin {
		go x.sendInput()
	}
	senders.Go(x.sendControls)
	return x.receive(ctx)
}

func (c *Client) dialExec(ctx context.Context, nameOrID string) (*websocket.Conn, error) {
	dialer := websocket.Dialer{
		NetDialContext:   c.dial,
		TLSClientConfig:  c.tls,
		HandshakeTimeout: 20 * time.Second,
		Subprotocols:     []string{wire.ExecProtocol},
		ReadBufferSize:   32 << 10,
		WriteBufferSize:  32 << 10,
	}
	header := http.Header{}
	c.identify(header)
	address := "ws" + strings.TrimPrefix(c.endpoint(nil, "v1", "environments", nameOrID, "exec"), "http")
	conn, resp, err := dialer.DialContext(ctx, address, header)
	if errors.Is(err, websocket.ErrBadHandshake) && resp != nil {
		defer resp.Body.Close()
		return nil, c.answered(resp)
	}
	if err != nil {
		return nil, c.lost(ctx, err)
	}
	conn.SetReadLimit(wire.ExecMaxMessage)
	return conn, nil
}

// execution is one exec under way.
type execution struct {
	client  *Client
	conn    *websocket.Conn
	streams ExecStreams
	done    chan struct{}

	writeMu  sync.Mutex
	inputErr atomic.Pointer[error]

	creditMu sync.Mutex
	credit   *sync.Cond
	window   int
	stopped  bool
}

// receive takes the server's messages until the last one.
func (x *execution) receive(ctx context.Context) (int, error) {
	for {
		kind, msg, err := x.conn.ReadMessage()
		if inputErr := x.inputErr.Load(); err != nil && inputErr != nil {
			return 0, fmt.Errorf("read the command's input: %w", *inputErr)
		}
		if err != nil {
			if ce, ok := errors.AsType[*websocket.CloseError](err); ok {
				err = fmt.Errorf("%w (%w)", io.ErrUnexpectedEOF, ce)
			}
			return 0, x.client.lost(ctx, err)
		}
		if kind != websocket.BinaryMessage || len(msg) == 0 {
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
			return result(data)
		}
		if err != nil {
			return 0, fmt.Errorf("write the command's output: %w", err)
		}
	}
}

func result(data []byte) (int, error) {
	var r wire.ExecResult
	if err := json.Unmarshal(data, &r); err != nil {
		return 0, &Error{Code: wire.CodeInternal, Sentence: "the daemon sent an exit code that cannot be understood", Hint: "check that bothy and bothyd are of one version", Err: err}
	}
	if r.Problem != nil {
		return r.ExitCode, fromProblem(*r.Problem)
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

// sendInput sends the input, never more than the daemon has room for.
func (x *execution) sendInput() {
	buf := make([]byte, 32<<10+1)
	buf[0] = wire.ExecStdin
	for {
		room := x.reserve(len(buf) - 1)
		if room == 0 {
			return
		}
		n, err := x.streams.Stdin.Read(buf[1 : 1+room])
		x.grant(room - n)
		if n > 0 && x.write(websocket.BinaryMessage, buf[:1+n]) != nil {
			return // The reader of the connection reports what happened to it.
		}
		if errors.Is(err, io.EOF) {
			_ = x.write(websocket.BinaryMessage, []byte{wire.ExecStdinEOF})
			return
		}
		if err != nil {
			// Half an input must not pass for a whole one.
			x.inputErr.Store(&err)
			_ = x.conn.Close()
			return
		}
	}
}

// sendControls forwards sizes and signals until the command has ended.
func (x *execution) sendControls() {
	resize, signals := x.streams.Resize, x.streams.Signals
	for {
		var msg []byte
		select {
		case <-x.done:
			return
		case size, ok := <-resize:
			if !ok {
				resize = nil
				continue
			}
			data, err := json.Marshal(size)
			if err != nil {
				continue
			}
			msg = append([]byte{wire.ExecResize}, data...)
		case name, ok := <-signals:
			if !ok {
				signals = nil
				continue
			}
			msg = append([]byte{wire.ExecSignal}, name...)
		}
		if x.write(websocket.BinaryMessage, msg) != nil {
			return
		}
	}
}

func (x *execution) write(kind int, msg []byte) error {
	x.writeMu.Lock()
	defer x.writeMu.Unlock()
	return x.conn.WriteMessage(kind, msg)
}

// reserve waits for room and takes up to most of it; 0 when the command has ended.
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
