package engine

import (
	"context"
	"net"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
)

type guardKey struct{}

// guard holds the connection of one upgrade request, which the SDK does not
// end with its context: a hung engine would hold the caller for ever.
type guard struct{ conns chan net.Conn }

// guardedDial dials the engine and notes the connection in the context's guard, if it has one.
func guardedDial(network, addr string) func(context.Context, string, string) (net.Conn, error) {
	d := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, addr)
		if g, ok := ctx.Value(guardKey{}).(*guard); ok && err == nil {
			select {
			case g.conns <- conn:
			default: // a second connection of one call: not the one that is upgraded first
			}
		}
		return conn, err
	}
}

// abort closes the noted connection, if there is one.
func (g *guard) abort() {
	select {
	case c := <-g.conns:
		_ = c.Close() // only to wake whoever waits on it
	default:
	}
}

// Attach starts a registered command and returns its connection, within the timeout of a call. When ctx ends first, the command may have
// started; its stdin is then closed. The error is the SDK's, or that of the context.
func (c *Client) Attach(ctx context.Context, execID string, opts container.ExecAttachOptions) (types.HijackedResponse, error) {
	g := &guard{conns: make(chan net.Conn, 1)}
	actx, cancel := c.Call(context.WithValue(ctx, guardKey{}, g))
	defer cancel()
	onTime := context.AfterFunc(actx, g.abort)
	conn, err := c.API.ContainerExecAttach(actx, execID, opts)
	if !onTime() && err == nil {
		conn.Close() // the end came at the same moment
		err = actx.Err()
	} else if err != nil && actx.Err() != nil {
		err = actx.Err()
	}
	return conn, err
}
