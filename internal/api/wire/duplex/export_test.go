package duplex

import (
	"io"
	"testing"
	"time"
)

// Raw is the connection below a WebSocket.
func Raw(c *Conn) io.ReadWriteCloser { return c.pipe.rw }

// SetClock sets the clock on the wall until the end of a test, with a connection that runs at its beginning.
func SetClock(t *testing.T, c *Conn, clock func() time.Time) {
	was := wall
	wall = clock
	c.ran = clock()
	t.Cleanup(func() { wall = was })
}
