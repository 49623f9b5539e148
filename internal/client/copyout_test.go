package client_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/client"
)

// TestACopyIsWholeOnlyWhenItsRecordSaysSo: io.EOF comes after the record alone, with its length and checksum.
func TestACopyIsWholeOnlyWhenItsRecordSaysSo(t *testing.T) {
	const content = "the tar"
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
	part := func(s string) string { return "--b\r\n\r\n" + s + "\r\n" }
	good := fmt.Sprintf(`{"bytes":7,"sha256":%q}`, sum)
	for _, c := range []struct {
		name, kind, body, want string
	}{
		{"whole", "multipart/mixed; boundary=b", part(content) + part(good) + "--b--\r\n", ""},
		{"another checksum", "multipart/mixed; boundary=b", part(content) + part(strings.Replace(good, sum[:8], "00000000", 1)) + "--b--\r\n", "damaged copy"},
		{"another length", "multipart/mixed; boundary=b", part(content) + part(strings.Replace(good, "7", "8", 1)) + "--b--\r\n", "7 of 8 bytes"},
		{"a problem", "multipart/mixed; boundary=b", part(content) + part(`{"bytes":7,"sha256":"","problem":{"code":"denied","detail":"tar: out/b: Permission denied"}}`) + "--b--\r\n", "out/b: Permission denied"},
		{"a record of nothing", "multipart/mixed; boundary=b", part(content) + part(`{}`) + "--b--\r\n", "7 of 0 bytes"},
		{"a record that is none", "multipart/mixed; boundary=b", part(content) + part(`<html>`) + "--b--\r\n", "unexpected answer from "},
		{"a record without end", "multipart/mixed; boundary=b", part(content) + part(good+strings.Repeat(" ", 2<<20)) + "--b--\r\n", "unexpected answer from "},
		{"no record", "multipart/mixed; boundary=b", part(content) + "--b--\r\n", "the connection broke"},
		{"cut in the tar", "multipart/mixed; boundary=b", part(content)[:14], "the connection broke"},
		{"cut after the tar", "multipart/mixed; boundary=b", part(content), "the connection broke"},
		{"cut in the record", "multipart/mixed; boundary=b", part(content) + part(good)[:20], "the connection broke"},
		{"a tar alone", "application/x-tar", content, "unexpected answer from "},
		{"a page", "text/html", "<html>", "unexpected answer from "},
		{"no boundary", "multipart/mixed", part(content), "unexpected answer from "},
	} {
		t.Run(c.name, func(t *testing.T) {
			accept := make(chan string, 1)
			host, _ := peer(t, func(conn net.Conn, r *http.Request) {
				accept <- r.Header.Get("Accept")
				say(200, c.kind, c.body)(conn, r)
			})
			body, err := connect(t, client.Options{Host: host}).CopyFrom(t.Context(), "otter", "/out", "")
			var got []byte
			if err == nil {
				got, err = io.ReadAll(body)
				body.Close()
			}
			if a := <-accept; a != "multipart/mixed" {
				t.Errorf("asked for %q", a)
			}
			if c.want == "" {
				if err != nil || string(got) != content {
					t.Errorf("got %q, %v", got, err)
				}
				return
			}
			if e := (*client.Error)(nil); !errors.As(err, &e) || !strings.Contains(e.Sentence, c.want) {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}
