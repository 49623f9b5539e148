package provisionertest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
)

// exchange sends data, ends its own direction, and gives all that comes back.
func exchange(c net.Conn, data []byte) (back []byte, err error) {
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(data)
		half, is := c.(interface{ CloseWrite() error })
		if !is {
			sent <- errors.New("the connection has no CloseWrite")
			return
		}
		sent <- errors.Join(err, half.CloseWrite())
	}()
	back, err = io.ReadAll(c)
	return back, errors.Join(err, <-sent)
}

func wantExchange(t *testing.T, c net.Conn, data []byte) {
	t.Helper()
	back, err := exchange(c, data)
	if err != nil || !bytes.Equal(back, data) {
		t.Errorf("sent %d bytes, got %d back, the same: %v; error %v", len(data), len(back), bytes.Equal(back, data), err)
	}
}

// pattern are bytes of which no part looks like another.
func pattern(n int, seed string) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		b.WriteString(seed + strconv.Itoa(i) + "\n")
	}
	return b.Bytes()[:n]
}

// serve accepts connections and sends back what they send, until the listener ends, and then gives Accept's error.
func serve(l net.Listener) <-chan error {
	done := make(chan error, 1)
	go func() {
		var open sync.WaitGroup
		defer open.Wait()
		for {
			c, err := l.Accept()
			if err != nil {
				done <- err
				return
			}
			open.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c) // whoever is at the other end sees it
			})
		}
	}()
	return done
}

// wantEnded waits until Accept tells the listener's end.
func wantEnded(t *testing.T, served <-chan error) {
	t.Helper()
	if err := receive(t, "the end of the listener", served); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept of a listener that has ended: %v, want net.ErrClosed", err)
	}
}

// Commands of an image with python3; see Harness.Echo and Harness.Connect.
const (
	pythonEcho = `
import asyncio, sys
async def serve(r, w):
    while b := await r.read(65536):
        w.write(b)
        await w.drain()
    w.write_eof()
    w.close()
async def main():
    s = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=128)
    print("ready", flush=True)
    await s.serve_forever()
asyncio.run(main())
`
	pythonConnect = `
import socket, sys, threading
c = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def send():
    c.sendall(sys.stdin.buffer.read())
    c.shutdown(socket.SHUT_WR)
threading.Thread(target=send, daemon=True).start()
while b := c.recv(65536):
    sys.stdout.buffer.write(b)
`
)

func python(script string) func(port int) []string {
	return func(port int) []string { return []string{"python3", "-c", script, strconv.Itoa(port)} }
}
