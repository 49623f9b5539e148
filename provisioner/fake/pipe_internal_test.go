package fake

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"
)

// TestPipe: a connection in memory does what every net.Conn promises.
func TestPipe(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		near, far := newPipe(80)
		return near, far, func() { near.Close(); far.Close() }, nil
	})
}
