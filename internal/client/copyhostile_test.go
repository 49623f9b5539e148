package client_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/client"
)

// TestAHostileCopyIsBounded: whatever an answer has before the tar stream, between it and the record, and as the record's head, is
// read within bounds, and is never a whole copy.
func TestAHostileCopyIsBounded(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
	for _, c := range []struct{ name, begin, again string }{
		{"a preamble of lines without end", "", strings.Repeat("line\r\n", 4000)},
		{"a preamble of one line without end", "", strings.Repeat("x", 32<<10)},
		{"a header without end", "--b\r\nX: ", strings.Repeat("x", 32<<10)},
		{"headers without end", "--b\r\n", strings.Repeat("X: y\r\n", 4000)},
		{"the record's headers without end", "--b\r\n\r\ntar\r\n--b\r\n", strings.Repeat("X: y\r\n", 4000)},
		{"a record without end", "--b\r\n\r\ntar\r\n--b\r\n\r\n{\"bytes\":3,", strings.Repeat(" ", 32<<10)},
	} {
		t.Run(c.name, func(t *testing.T) {
			host, _ := peer(t, func(conn net.Conn, _ *http.Request) {
				out := bufio.NewWriter(conn)
				_, err := out.WriteString(head + c.begin)
				for err == nil {
					_, err = out.WriteString(c.again) // ends when the client has enough
				}
				_ = conn.Close()
			})
			began := time.Now()
			body, err := connect(t, client.Options{Host: host}).CopyFrom(t.Context(), "otter", "/out", "")
			if err == nil {
				_, err = io.Copy(io.Discard, body)
				body.Close()
			}
			if e := (*client.Error)(nil); !errors.As(err, &e) {
				t.Errorf("got %v after %s", err, time.Since(began))
			}
			t.Logf("%v after %s", err, time.Since(began))
		})
	}
}
