package api_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/api/wire/heartbeat"
	"github.com/bothy-env/bothy/provisioner"
)

// waiting is an engine whose execs last until their client is gone.
func waiting(ended chan<- error) *double {
	d := newDouble().add(leased("otter"))
	d.exec = func(ctx context.Context, _ provisioner.ExecRequest, _ provisioner.Streams) (int, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		return 0, ctx.Err()
	}
	return d
}

// A message of the most bytes is taken, one of a byte more ends the exec, in one frame or in many.
func TestMessagesAreBounded(t *testing.T) {
	for name, c := range map[string]struct {
		first, most int
		fragments   bool
	}{
		"a start":                {first: wire.ExecMaxStart},
		"a message":              {most: wire.ExecMaxMessage},
		"a message of fragments": {most: wire.ExecMaxMessage, fragments: true},
	} {
		for _, over := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s, %d over", name, over), func(t *testing.T) {
				ended := make(chan error, 1)
				conn := start(t, waiting(ended)).speak()
				begin := `{"command":["x"],"stdin":true}`
				if c.first > 0 {
					begin += strings.Repeat(" ", c.first+over-len(begin))
				}
				if err := conn.text(begin); err != nil {
					t.Fatal(err)
				}
				if c.most > 0 {
					if err := conn.send(c.most+over, c.fragments); err != nil {
						t.Fatal(err)
					}
				}
				if over == 0 {
					// What is not refused is there until its client goes.
					_ = conn.CloseNow()
					if err := receive(t, "the end", ended); err == nil {
						t.Error("no end")
					}
					return
				}
				_, msg, err := conn.Read(conn.ctx)
				if status := websocket.CloseStatus(err); status != websocket.StatusMessageTooBig {
					t.Errorf("got %q, %v; want that it is too big", msg, err)
				}
			})
		}
	}
}

// send sends an input message of n bytes.
func (h *hand) send(n int, fragments bool) error {
	msg := make([]byte, n)
	if !fragments {
		return h.Write(h.ctx, websocket.MessageBinary, msg)
	}
	w, err := h.Writer(h.ctx, websocket.MessageBinary)
	if err != nil {
		return err
	}
	for len(msg) > 0 && err == nil {
		k := min(len(msg), 1000)
		_, err = w.Write(msg[:k])
		msg = msg[k:]
	}
	return errors.Join(err, w.Close())
}

// shake opens an exec without any library and gives the answer to the handshake.
func shake(t *testing.T, r *rig, more string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	conn := r.dial()
	fmt.Fprintf(conn, "GET /v1/environments/otter/exec HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: %s\r\n%s\r\n", wire.ExecProtocol, more)
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn, br, resp
}

// frame is a masked frame with a mask of zeros.
func frame(head byte, payload string) string {
	length := []byte{0x80 | byte(min(len(payload), 126))}
	if len(payload) > 125 {
		length = binary.BigEndian.AppendUint16(length, uint16(len(payload))) //nolint:gosec // tests know their lengths
	}
	return string(head) + string(length) + "\x00\x00\x00\x00" + payload
}

const (
	whole, text, binaryFrame, ping = 0x80, 0x1, 0x2, 0x9
	compressed                     = 0x40
)

// raw makes bytes, not runes.
func raw(head byte, payload string) string {
	f := []byte(frame(0, payload)[1:])
	return string(append([]byte{head}, f...))
}

// No compression is agreed on, so that a few bytes stand for a few bytes, and a compressed frame ends the connection.
func TestThereIsNoCompression(t *testing.T) {
	ended := make(chan error, 1)
	r := start(t, waiting(ended))
	conn, br, resp := shake(t, r, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n")
	if got := resp.Header.Get("Sec-WebSocket-Extensions"); got != "" {
		t.Errorf("the daemon agrees on %q", got)
	}
	if _, err := io.WriteString(conn, raw(whole|text, `{"command":["x"]}`)+raw(whole|compressed|binaryFrame, "\x00")); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, "the end", ended); err == nil {
		t.Error("no end")
	}
	_, _ = io.Copy(io.Discard, br) // it ends
}

// One that sends pings and takes no pong is held up by nobody's memory: pongs beyond a bound are not made.
func TestPingsThatNobodyTakesTheAnswersOf(t *testing.T) {
	ended := make(chan error, 1)
	r := start(t, waiting(ended), func(c *apiConfig) { c.Heartbeat = heartbeat.Timing{} })
	conn, _, _ := shake(t, r, "")
	if _, err := io.WriteString(conn, raw(whole|text, `{"command":["x"]}`)); err != nil {
		t.Fatal(err)
	}
	flood := strings.Repeat(raw(whole|ping, strings.Repeat("p", 125)), 1000)
	for range 40 { // 5 MB, of which the connection's own buffers hold little
		if _, err := io.WriteString(conn, flood); err != nil {
			t.Fatalf("the daemon stopped to read: %v", err)
		}
	}
	if _, err := io.WriteString(conn, raw(whole|binaryFrame, "\x04")); err != nil { // ExecStop, which is heard all the same
		t.Fatal(err)
	}
	if err := receive(t, "the end of the command", ended); err == nil {
		t.Error("no end")
	}
}
