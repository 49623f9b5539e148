package api

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"slices"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// execution is the connection's side of one exec: one goroutine receives,
// many may send, and the command's side never holds up the receiver.
type execution struct {
	conn    *websocket.Conn
	cancel  context.CancelCauseFunc
	input   *inbox
	resize  chan provisioner.Size
	signals chan string

	sendMu sync.Mutex
	// owed is how much input was read and not yet credited.
	owed int
}

func newExecution(conn *websocket.Conn, cancel context.CancelCauseFunc) *execution {
	x := &execution{conn: conn, cancel: cancel, resize: make(chan provisioner.Size, 1), signals: make(chan string, 16)}
	x.input = newInbox(x.credit)
	return x
}

// receive takes the client's messages until it is gone, which ends the command.
func (x *execution) receive() {
	for {
		kind, msg, err := x.conn.ReadMessage()
		if err != nil {
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

// take handles one message; a breach of the protocol gives a problem.
func (x *execution) take(kind int, msg []byte) error {
	if kind != websocket.BinaryMessage || len(msg) == 0 {
		return breach("a message without a kind")
	}
	data := msg[1:]
	switch msg[0] {
	case wire.ExecStdin:
		if !x.input.put(data, wire.ExecWindow) {
			return breach("more input than was asked for")
		}
	case wire.ExecStdinEOF:
		x.input.end(io.EOF)
	case wire.ExecResize:
		var size wire.ExecSize
		if err := json.Unmarshal(data, &size); err != nil {
			return breach("a terminal size that is none")
		}
		x.setSize(size)
	case wire.ExecSignal:
		if !slices.Contains(wire.ExecSignals(), string(data)) {
			return breach("an unknown signal")
		}
		select {
		case x.signals <- string(data):
		default: // Sixteen wait already; one more of the same changes nothing.
		}
	default:
		return breach("a message of an unknown kind")
	}
	return nil
}

func breach(what string) error {
	return problem(fleet.CodeInvalid, "check that bothy and bothyd are of one version", "the client sent %s", what)
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
	x.sendMu.Lock()
	defer x.sendMu.Unlock()
	if x.owed += n; x.owed < wire.ExecWindow/4 {
		return
	}
	msg := binary.BigEndian.AppendUint32([]byte{wire.ExecCredit}, uint32(x.owed))
	x.owed = 0
	if err := x.conn.WriteMessage(websocket.BinaryMessage, msg); err != nil {
		x.cancel(context.Canceled)
	}
}

func (x *execution) send(kind byte, data []byte) error {
	x.sendMu.Lock()
	defer x.sendMu.Unlock()
	w, err := x.conn.NextWriter(websocket.BinaryMessage)
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte{kind}); err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Close()
}

// exit sends the last message.
func (x *execution) exit(result wire.ExecResult) {
	data, err := json.Marshal(result)
	if err == nil {
		err = x.send(wire.ExecExit, data)
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
		if err := o.x.send(o.kind, p[done:done+n]); err != nil {
			o.x.cancel(context.Canceled)
			return done, errGone
		}
		done += n
	}
	return len(p), nil
}
