package broker

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
)

// unanswered reports whether the engine may still do what it was asked for: it was sent, and there was no answer, not even an
// error. A connection that could not be made sent nothing.
func unanswered(err error) bool {
	for _, e := range []error{context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, e) {
			return true
		}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return false
	}
	_, ok := errors.AsType[net.Error](err)
	return ok
}
