package duplex_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire/duplex"
	"github.com/bothy-env/bothy/internal/api/wire/heartbeat"
)

const patience = 30 * time.Second

var calm = heartbeat.Timing{Every: time.Hour, Patience: time.Hour}

// pair is both ends of a connection, and what lies between them at the client's side.
func pair(t *testing.T, near, far heartbeat.Timing) (client, server *duplex.Conn, between net.Conn) {
	t.Helper()
	accepted, held := make(chan *duplex.Conn, 1), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := duplex.Accept(w, r, "p", far)
		if err != nil {
			t.Error(err)
		}
		accepted <- c
		<-held
	}))
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		between = c
		return c, err
	}}
	client, answer, err := duplex.Dial(t.Context(), s.URL, duplex.Dialing{Transport: transport, Header: http.Header{}, Protocol: "p", Handshake: patience, MaxAnswer: 1000, Timing: near})
	if err != nil || answer != nil {
		t.Fatal(answer, err)
	}
	server = <-accepted
	t.Cleanup(func() {
		_, _ = client.Close(), server.Close()
		close(held)
		s.Close()
	})
	client.SetReadLimit(1 << 20)
	server.SetReadLimit(1 << 20)
	return client, server, between
}

func in(t *testing.T, what string, do func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		t.Fatalf("%s did not come within %s", what, patience)
		return nil
	}
}

// A message that is cut off anywhere is an error, never a shorter message: coder/websocket takes one whose end coincides with a
// read's for whole.
func TestAMessageThatIsCutOffIsNone(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 4, 6, 7, 100, 511, 512, 513, 1024, 4096, 8000, 60_003} {
		client, server, _ := pair(t, calm, calm)
		_ = client
		raw := duplex.Raw(server)
		frame := append([]byte{0x82, 126, 60_000 >> 8, 60_000 & 0xff}, bytes.Repeat([]byte("x"), 60_000)...)
		go func() {
			_, _ = raw.Write(frame[:n])
			_ = raw.Close()
		}()
		err := in(t, "the end", func() error {
			_, msg, err := client.Read()
			if err == nil {
				t.Errorf("cut at %d: a message of %d bytes", n, len(msg))
			}
			return err
		})
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

// Messages pass both ways, of every size, and what was flushed arrives though the connection is closed at once.
func TestWhatWasFlushedArrives(t *testing.T) {
	client, server, _ := pair(t, calm, calm)
	for _, size := range []int{0, 1, 125, 126, 511, 512, 65_535, 65_536, 1<<20 - 1} {
		for _, way := range []struct{ from, to *duplex.Conn }{{client, server}, {server, client}} {
			data := strings.Repeat("d", size)
			go func() { _ = way.from.Write('k', []byte(data)) }()
			if err := in(t, "a message", func() error {
				kind, msg, err := way.to.Read()
				if kind != duplex.Binary || string(msg) != "k"+data {
					t.Errorf("%d bytes of kind %v arrived, want %d", len(msg), kind, size+1)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(server.Write('e', bytes.Repeat([]byte("e"), 100_000)), server.Flush(), server.Close()); err != nil {
		t.Error(err)
	}
	if _, msg, err := client.Read(); err != nil || len(msg) != 100_001 {
		t.Errorf("%d bytes, %v", len(msg), err)
	}
}

// One that does not read holds up the other's messages, and neither its pings nor their answers; closing frees all.
func TestWritingWaitsAndEndsWithTheConnection(t *testing.T) {
	_, server, _ := pair(t, calm, heartbeat.Timing{Every: time.Millisecond, Patience: time.Hour})
	over, ended := make(chan struct{}), make(chan error, 1)
	beaten := make(chan struct{})
	go func() { server.Beat(over, nil); close(beaten) }()
	var sent int
	go func() {
		for {
			if err := server.Write('o', make([]byte, 60_000)); err != nil {
				ended <- err
				return
			}
			sent++
		}
	}()
	time.Sleep(200 * time.Millisecond) // in which pings would pile up
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if err := in(t, "the end of the writing", func() error { return <-ended }); err == nil {
		t.Error("no error")
	}
	if sent > 1000 {
		t.Errorf("%d messages were taken for one that reads nothing", sent)
	}
	if err := in(t, "the end of a flush", server.Flush); err == nil {
		t.Error("what was lost counts as flushed")
	}
	close(over)
	_ = in(t, "the end of the pings", func() error { <-beaten; return nil })
}

// A side that hears nothing says so; one that itself did not run for that time looks once more at what came meanwhile.
func TestSilence(t *testing.T) {
	client, server, _ := pair(t, calm, heartbeat.Timing{Every: time.Hour, Patience: 50 * time.Millisecond})
	_ = client
	if err := in(t, "silence", func() error { _, _, err := server.Read(); return err }); !errors.Is(err, heartbeat.ErrSilent) {
		t.Errorf("got %v", err)
	}
}

// A process that was suspended tells how long, for as long as that may be why its connection broke.
func TestSuspended(t *testing.T) {
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return at }
	client, _, _ := pair(t, heartbeat.Timing{Every: 15 * time.Second, Patience: 45 * time.Second}, calm)
	duplex.SetClock(t, client, clock)
	at = at.Add(44 * time.Second)
	if got := client.Suspended(); got != 0 {
		t.Errorf("after less than the patience: %s", got)
	}
	at = at.Add(10 * time.Minute)
	if got := client.Suspended(); got != 10*time.Minute {
		t.Errorf("after 10 min: %s", got)
	}
	at = at.Add(10 * time.Second)
	if got := client.Suspended(); got != 10*time.Minute {
		t.Errorf("soon after: %s", got)
	}
	for range 4 {
		at = at.Add(15 * time.Second)
		_ = client.Suspended()
	}
	if got := client.Suspended(); got != 0 {
		t.Errorf("long after: %s", got)
	}
}

// Another answer than a WebSocket is given whole, and a handshake has an end.
func TestAnswersToAHandshake(t *testing.T) {
	body := strings.Repeat("b", 5000)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://elsewhere.invalid")
		w.WriteHeader(http.StatusFound)
		_, _ = io.WriteString(w, body)
	}))
	defer s.Close()
	d := duplex.Dialing{Transport: &http.Transport{}, Header: http.Header{}, Protocol: "p", Handshake: patience, MaxAnswer: 4000, Timing: calm}
	conn, answer, err := duplex.Dial(t.Context(), s.URL, d)
	if conn != nil || err != nil || answer.StatusCode != http.StatusFound {
		t.Fatalf("%v, %v, %v", conn, answer, err)
	}
	if got, err := io.ReadAll(answer.Body); err != nil || string(got) != body[:4000] {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	d.Handshake = 50 * time.Millisecond
	if _, _, err := duplex.Dial(t.Context(), "http://"+listener.Addr().String(), d); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody answers: %v", err)
	}
}
