package api

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/api/wire/duplex"
	"github.com/bothy-env/bothy/internal/api/wire/heartbeat"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// execution is the connection's side of one exec: one goroutine receives,
// many may send, and the command's side never holds up the receiver.
type execution struct {
	conn    *duplex.Conn
	cancel  context.CancelCauseFunc
	input   *inbox
	resize  chan provisioner.Size
	signals chan string
	// suspendFor is how long a client that said that it stops may be silent.
	suspendFor time.Duration

	creditMu sync.Mutex
	// owed is how much input was read and not yet credited.
	owed int
}

func newExecution(conn *duplex.Conn, cancel context.CancelCauseFunc, suspendFor time.Duration) *execution {
	x := &execution{conn: conn, cancel: cancel, suspendFor: suspendFor, resize: make(chan provisioner.Size, 1), signals: make(chan string, 16)}
	x.input = newInbox(x.credit)
	return x
}

// receive takes the client's messages until it is gone, which ends the command. One that was stopped, or whose network is
// gone, is gone when nothing was heard of it for long.
func (x *execution) receive() {
	for {
		kind, msg, err := x.conn.Read()
		if err != nil {
			if errors.Is(err, heartbeat.ErrSilent) {
				_ = x.conn.Close() // Whatever is being written to it never arrives.
			}
			if errors.Is(err, duplex.ErrTooBig) {
				x.sayTooBig()
			}
			x.input.end(io.ErrUnexpectedEOF)
			x.cancel(context.Canceled)
			return
		}
		if p := x.take(kind, msg); p != nil {
			// What else comes is read and dropped, so that the answer arrives.
			x.input.end(p)
			x.cancel(p)
		}
	}
}

// sayTooBig waits until what the WebSocket says by itself of a message that is too big was handed to the network: the next
// write, which fails, would drop it.
func (x *execution) sayTooBig() {
	defer time.AfterFunc(lingerWait, func() { _ = x.conn.Close() }).Stop()
	_ = x.conn.Flush() // One who takes no answer gets none.
}

// take handles one message; a breach of the protocol gives a problem.
func (x *execution) take(kind duplex.Kind, msg []byte) error {
	if kind != duplex.Binary || len(msg) == 0 {
		return breach("a message without a type")
	}
	data := msg[1:]
	switch msg[0] {
	case wire.ExecStdin:
		if !x.input.put(data, wire.ExecWindow) {
			return breach("more stdin than the credit allows")
		}
	case wire.ExecStdinEOF:
		x.input.end(io.EOF)
	case wire.ExecResize:
		var size wire.ExecSize
		if err := json.Unmarshal(data, &size); err != nil {
			return breach("an invalid terminal size")
		}
		x.setSize(size)
	case wire.ExecStop:
		return errStopped
	case wire.ExecSuspend:
		_ = x.conn.Within(x.suspendFor) // A connection that takes no deadline is broken, and found so by the next read.
	case wire.ExecAlive: // It was heard.
	case wire.ExecResume:
		_ = x.conn.Within(0)
	case wire.ExecSignal:
		if !slices.Contains(wire.ExecSignals(), string(data)) {
			return breach("an unknown signal")
		}
		select {
		case x.signals <- string(data):
		default: // Sixteen wait already; one more of the same changes nothing.
		}
	default:
		return breach("a message of an unknown type")
	}
	return nil
}

func breach(what string) error {
	return problem(fleet.CodeInvalid, "check that bothy and bothyd have the same version", "the client sent %s", what)
}

// setSize keeps the newest size for whoever takes it; only one goroutine calls it at a time.
func (x *execution) setSize(size wire.ExecSize) {
	select {
	case <-x.resize:
	default:
	}
	x.resize <- provisioner.Size{Rows: size.Rows, Cols: size.Cols}
}

// credit tells the client, in not too many messages, that input was read.
func (x *execution) credit(n int) {
	x.creditMu.Lock()
	defer x.creditMu.Unlock()
	if x.owed += n; x.owed < wire.ExecWindow/4 {
		return
	}
	msg := binary.BigEndian.AppendUint32(nil, uint32(x.owed))
	x.owed = 0
	if err := x.conn.Write(wire.ExecCredit, msg); err != nil {
		x.cancel(context.Canceled)
	}
}

// exit sends the last message.
func (x *execution) exit(result wire.ExecResult) {
	data, err := json.Marshal(result)
	if err == nil {
		err = x.conn.Write(wire.ExecExit, data)
	}
	if err != nil {
		x.cancel(context.Canceled) // The client is gone; nobody is left to tell.
		_ = x.conn.Close()
	}
}

// output is one of the command's output streams. A client that reads slowly holds the command up.
type output struct {
	x    *execution
	kind byte
}

func (o *output) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		n := min(len(p)-done, wire.ExecMaxMessage-1)
		if err := o.x.conn.Write(o.kind, p[done:done+n]); err != nil {
			o.x.cancel(context.Canceled)
			return done, errGone
		}
		done += n
	}
	return len(p), nil
}
