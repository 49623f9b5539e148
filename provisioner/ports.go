package provisioner

import (
	"context"
	"errors"
	"net"
)

// Ports is the capability of a Runtime to connect the daemon and a sandbox through TCP ports of the sandbox's own 127.0.0.1, in
// both directions. Neither direction needs a network of the sandbox, makes a hole in a firewall or reaches another machine, and both
// work in a sandbox without a network. IPv4 alone: what listens only at ::1 inside is not reached.
//
// Ports are claims. Whatever runs in the sandbox may take a port first, end what listens there, or connect to it: a connection proves
// that the other end is in the sandbox and nothing more. The caller bounds how much it reads, how long it waits and how many
// connections it accepts.
//
// Both calls return errors of these classes:
//   - NotFound: the sandbox is gone.
//   - Conflict: the sandbox has stopped. A paused sandbox has not: its kernel accepts connections, and nobody inside answers before
//     Unpause. Listen also returns Conflict, with ErrPortTaken as its cause, when a process inside or an earlier Listen has the port.
//   - Refused: nothing listens at the port (Dial alone).
//   - Permanent: the port is out of 1 to 65535; the sandbox has no network namespace of its own; or as CanDial.
//   - Transient: a process inside has the port and accepts nothing in time, or as for every call to an engine.
//   - Cancelled: ctx ended.
type Ports interface {
	// CanDial reports whether this process has the means for Dial and Listen. The error, of class Permanent, says what is missing. It
	// makes no calls.
	CanDial() error
	// Dial connects to what listens at a port of the sandbox's 127.0.0.1. ctx bounds the connecting alone. The connection has deadlines
	// and a CloseWrite method, as a net.TCPConn. It ends when the process at its other end does, so with the sandbox at the latest.
	Dial(ctx context.Context, id string, port int) (net.Conn, error)
	// Listen makes a service of the daemon appear in the sandbox at a port of its 127.0.0.1. ctx bounds the opening alone. Connections
	// are as Dial's.
	//
	// The listener ends with Close, and by itself when the sandbox is removed, stops or restarts: Accept then returns net.ErrClosed, and
	// after a restart the caller listens again. A daemon that hangs notices the end of a sandbox late; its listener serves nobody
	// meanwhile. Close is idempotent and leaves the accepted connections open, which the caller closes.
	Listen(ctx context.Context, id string, port int) (net.Listener, error)
}

// ErrPortTaken is a cause of an error of class Conflict: something in the sandbox has the port that Listen was asked for.
var ErrPortTaken = errors.New("the port is taken")

// CheckPort returns an error of class Permanent for a number that no TCP port has.
func CheckPort(op string, port int) error {
	if port < 1 || port > 65535 {
		return Errorf(Permanent, op, "%d is not a port: ports are 1 to 65535", port)
	}
	return nil
}
