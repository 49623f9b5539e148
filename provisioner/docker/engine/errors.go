package engine

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"github.com/bothy-env/bothy/provisioner"
)

// noRoom are the engine's words for a lack of room; it has no code for them.
var noRoom = []string{
	"no space left on device",
	"non-overlapping ipv4 address pool",
	"predefined address pools",
	"no available ipv4 addresses",
	"disk quota exceeded",
	"cannot allocate memory",
}

// Fail turns an SDK error into one of provisioner's classes. ctx is the
// caller's: when it ended, nothing else matters.
func (c *Client) Fail(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*provisioner.Error](err); ok {
		return err
	}
	if ctx.Err() != nil {
		return &provisioner.Error{Class: provisioner.Cancelled, Op: op, Sentence: "cancelled", Err: ctx.Err()}
	}
	e := &provisioner.Error{Class: classify(err), Op: op, Sentence: Plain(err), Err: err}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		e.Class, e.Unavailable = provisioner.Transient, true
		e.Sentence = "the Docker engine did not answer within " + c.Timeout.String()
	case IsPermission(err):
		e.Class, e.Unavailable = provisioner.Transient, true
		e.Sentence = "no right to use the Docker socket " + c.Host
	case isAway(err):
		e.Class, e.Unavailable = provisioner.Transient, true
		e.Sentence = "the Docker engine at " + c.Host + " is away"
	}
	return e
}

// classify reads an answer of the engine.
func classify(err error) provisioner.Class {
	msg := strings.ToLower(err.Error())
	for _, words := range noRoom {
		if strings.Contains(msg, words) {
			return provisioner.Quota
		}
	}
	switch {
	case errdefs.IsNotFound(err):
		return provisioner.NotFound
	case errdefs.IsConflict(err), errdefs.IsAlreadyExists(err), errdefs.IsNotModified(err):
		return provisioner.Conflict
	case errdefs.IsResourceExhausted(err):
		return provisioner.Quota
	case errdefs.IsInvalidArgument(err), errdefs.IsPermissionDenied(err),
		errdefs.IsUnauthorized(err), errdefs.IsNotImplemented(err):
		return provisioner.Permanent
	}
	// A 500 of the engine is mostly a race or a busy disk; the caller bounds its tries.
	return provisioner.Transient
}

// isAway reports whether the connection failed, rather than the request.
func isAway(err error) bool {
	if client.IsErrConnectionFailed(err) || errdefs.IsUnavailable(err) {
		return true
	}
	for _, e := range []error{
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, os.ErrNotExist,
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	_, ok := errors.AsType[net.Error](err)
	return ok
}

// IsPermission reports whether the socket may not be opened. The SDK keeps no cause, only its words.
func IsPermission(err error) bool {
	return errors.Is(err, os.ErrPermission) ||
		strings.Contains(err.Error(), "permission denied while trying to connect")
}

// During names what the caller asked for, not the command inside that does it, in an error of Exec.
func During(op string, err error) error {
	if e, ok := errors.AsType[*provisioner.Error](err); ok {
		c := *e
		c.Op = op
		return &c
	}
	return err
}

// Plain takes the SDK's own preface off a message.
func Plain(err error) string {
	msg := strings.TrimPrefix(err.Error(), "Error response from daemon: ")
	return strings.TrimSpace(strings.TrimSuffix(msg, ": unknown"))
}
