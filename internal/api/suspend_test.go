package api_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/api/wire/heartbeat"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/provisioner"
)

// impatient is a timing under which whoever is not heard is gone soon.
var impatient = heartbeat.Timing{Every: 10 * time.Millisecond, Patience: 200 * time.Millisecond}

// A client that said that it is about to be stopped may be silent for long, and goes on where it was.
func TestASuspendedClientKeepsItsCommand(t *testing.T) {
	d := newDouble().add(leased("otter"))
	d.exec = func(ctx context.Context, _ provisioner.ExecRequest, s provisioner.Streams) (int, error) {
		line := make([]byte, 4)
		if _, err := io.ReadFull(s.Stdin, line); err != nil {
			return 0, errors.Join(err, ctx.Err())
		}
		_, err := s.Stdout.Write(line)
		return 7, err
	}
	r := start(t, d, func(c *apiConfig) { c.Heartbeat = impatient })
	conn := r.speak() // which is silent unless it is read
	if err := errors.Join(conn.text(`{"command":["x"],"stdin":true}`), conn.binary(wire.ExecSuspend, "")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * impatient.Patience) // how long it is suspended
	if err := errors.Join(conn.binary(wire.ExecResume, ""), conn.binary(wire.ExecStdin, "back")); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for {
		_, msg, err := conn.Read(conn.ctx)
		if err != nil || len(msg) == 0 {
			t.Fatalf("after %q: %q, %v", all.String(), msg, err)
		}
		if all.Write(msg[1:]); msg[0] == wire.ExecExit {
			break
		}
	}
	if got := all.String(); got != `back{"exit_code":7}` {
		t.Errorf("got %s", got)
	}
}

// One that never goes on is gone in the end.
func TestASuspendedClientIsNotKeptForEver(t *testing.T) {
	d, ended := newDouble().add(leased("otter")), make(chan error, 1)
	d.exec = func(ctx context.Context, _ provisioner.ExecRequest, _ provisioner.Streams) (int, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		return 0, ctx.Err()
	}
	r := start(t, d, func(c *apiConfig) {
		c.Heartbeat, c.SuspendFor = heartbeat.Timing{Every: time.Hour, Patience: time.Hour}, 300*time.Millisecond
	})
	conn := r.speak()
	if err := errors.Join(conn.text(`{"command":["x"]}`), conn.binary(wire.ExecSuspend, "")); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, "the end of the command", ended); err == nil {
		t.Error("the command ended by itself")
	}
}

// The client tells the daemon before and after it is stopped.
func TestTheClientTellsOfItsSuspension(t *testing.T) {
	d := newDouble().add(leased("otter"))
	d.exec = func(_ context.Context, _ provisioner.ExecRequest, s provisioner.Streams) (int, error) {
		_, err := io.Copy(s.Stdout, s.Stdin)
		return 3, err
	}
	// A patience that the exec outlasts only when the daemon was told: the client never pings.
	r := start(t, d, func(c *apiConfig) { c.Heartbeat = heartbeat.Timing{Every: time.Hour, Patience: 200 * time.Millisecond} })
	suspend, input := make(chan client.Suspension), make(chan string)
	go func() {
		defer close(input)
		told := make(chan struct{})
		suspend <- client.Suspension{Stops: true, Told: told}
		<-told
		time.Sleep(600 * time.Millisecond) // how long it is suspended
		input <- "on"
	}()
	var out strings.Builder
	cl := r.clientOf(client.Options{Host: "unix://" + r.socket, Heartbeat: heartbeat.Timing{Every: time.Hour, Patience: time.Hour}})
	code, err := cl.Exec(limited(t), "otter", wire.ExecStart{Command: []string{"cat"}, Stdin: true}, client.ExecStreams{Stdin: &fed{from: input}, Stdout: &out, Suspend: suspend})
	if code != 3 || err != nil || out.String() != "on" {
		t.Errorf("code %d, %v, output %q", code, err, out.String())
	}
}

// fed reads what it is sent.
type fed struct{ from <-chan string }

func (f *fed) Read(p []byte) (int, error) {
	s, ok := <-f.from
	if !ok {
		return 0, io.EOF
	}
	return copy(p, s), nil
}

// A daemon that waits to write into a command which does not read its input still hears its client.
func TestInputThatNobodyTakesCutsNobodyOff(t *testing.T) {
	d := newDouble().add(leased("otter"))
	release := make(chan struct{})
	d.exec = func(ctx context.Context, _ provisioner.ExecRequest, s provisioner.Streams) (int, error) {
		select {
		case <-release:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		n, err := io.Copy(io.Discard, s.Stdin)
		return int(n >> 20), err
	}
	r := start(t, d, func(c *apiConfig) { c.Heartbeat = impatient })
	way := r.between()
	ended := make(chan error, 1)
	go func() {
		cl := r.clientOf(client.Options{Host: "unix://" + way.path, Heartbeat: heartbeat.Timing{Every: 10 * time.Millisecond, Patience: time.Minute}})
		code, err := cl.Exec(limited(t), "otter", wire.ExecStart{Command: []string{"x"}, Stdin: true}, client.ExecStreams{Stdin: io.LimitReader(zeros{}, 2<<20)})
		if err == nil && code != 2 {
			err = errors.New("not all of the input arrived")
		}
		ended <- err
	}()
	until(t, "the window is full", func() bool { return way.up.Load() > 8 })
	begun := way.up.Load()
	// Longer than the patience, in the client's own measure.
	until(t, "the client shows that it is alive", func() bool { return way.up.Load() >= begun+int64(2*impatient.Patience/impatient.Every) })
	close(release)
	if err := receive(t, "its end", ended); err != nil {
		t.Error(err)
	}
}
