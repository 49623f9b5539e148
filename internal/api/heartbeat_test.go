package api_test

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/api/wire/heartbeat"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// between is a way to a server's socket that counts what passes.
type between struct {
	path string
	// up and down count the parts that went to the server, and that came from it.
	up, down atomic.Int64
}

func (r *rig) between() *between {
	r.t.Helper()
	b := &between{path: filepath.Join(shortDir(r.t), "p")}
	ln, err := net.Listen("unix", b.path)
	if err != nil {
		r.t.Fatal(err)
	}
	var running sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	r.t.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	running.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("unix", r.socket)
			if err != nil {
				_ = near.Close()
				return
			}
			mu.Lock()
			open = append(open, near, far)
			mu.Unlock()
			running.Go(func() { pass(far, near, &b.up) })
			running.Go(func() { pass(near, far, &b.down) })
		}
	})
	return b
}

func pass(to, from net.Conn, parts *atomic.Int64) {
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			parts.Add(1)
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// quiet is an engine whose every stream says nothing until ctx ends, once it has been opened.
func quiet(opened chan<- string) *double {
	d := newDouble().add(leased("otter"))
	silent := func(ctx context.Context, what string) error {
		opened <- what
		<-ctx.Done()
		return ctx.Err()
	}
	d.watch = func(ctx context.Context, name string, _ int64, update func(fleet.Environment, []fleet.Event) error) error {
		return errors.Join(update(leased(name), nil), silent(ctx, "watch"))
	}
	d.logs = func(ctx context.Context, _ string, _ time.Time, _ bool, _ func(fleet.LogLine) error) error {
		return silent(ctx, "logs")
	}
	d.exec = func(ctx context.Context, _ provisioner.ExecRequest, _ provisioner.Streams) (int, error) {
		return 0, silent(ctx, "exec")
	}
	d.watchEvents = func(ctx context.Context) error { return silent(ctx, "events") }
	return d
}

// openers open each kind of stream.
var openers = map[string]func(context.Context, *client.Client) error{
	"watch": func(ctx context.Context, c *client.Client) error {
		return c.Watch(ctx, "otter", 0, func(wire.Update) error { return nil })
	},
	"logs": func(ctx context.Context, c *client.Client) error {
		return c.Logs(ctx, "otter", time.Time{}, true, func(wire.LogLine) error { return nil })
	},
	"events": func(ctx context.Context, c *client.Client) error {
		return c.FollowEvents(ctx, client.EventOptions{}, func(wire.Event) error { return nil })
	},
	"exec": func(ctx context.Context, c *client.Client) error {
		_, err := c.Exec(ctx, "otter", wire.ExecStart{Command: []string{"sleep"}}, client.ExecStreams{})
		return err
	},
}

// What ends idle connections finds none: a stream that has nothing to say shows that it is alive, over and over.
func TestAQuietStreamShowsThatItIsAlive(t *testing.T) {
	for what, open := range openers {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			opened := make(chan string, 1)
			r := start(t, quiet(opened), func(c *apiConfig) { c.Heartbeat.Every = 10 * time.Millisecond })
			way := r.between()
			ctx, cancel := context.WithCancel(limited(t))
			ended := make(chan error, 1)
			cl := r.clientOf(client.Options{Host: "unix://" + way.path, Heartbeat: heartbeat.Timing{Every: time.Hour}})
			go func() { ended <- open(ctx, cl) }()
			receive(t, what, opened)
			begun := way.down.Load()
			until(t, "signs of life come from the server", func() bool { return way.down.Load() >= begun+5 })
			select {
			case err := <-ended:
				t.Errorf("it ended with %v", err)
			default:
			}
			cancel()
			if err := receive(t, "its end", ended); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
}

// A client that does not answer is gone, though its connection stands: stopped by a signal, or behind a network that is away.
func TestAnExecWhoseClientIsSilentEnds(t *testing.T) {
	ended := make(chan error, 1)
	for name, run := range map[string]func(context.Context, provisioner.Streams) error{
		"quiet": func(ctx context.Context, _ provisioner.Streams) error { <-ctx.Done(); return ctx.Err() },
		"output that nobody takes": func(_ context.Context, s provisioner.Streams) error {
			_, err := io.Copy(s.Stdout, zeros{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDouble().add(leased("otter"))
			d.exec = func(ctx context.Context, _ provisioner.ExecRequest, s provisioner.Streams) (int, error) {
				err := run(ctx, s)
				ended <- err
				return 0, err
			}
			r := start(t, d, func(c *apiConfig) {
				c.Heartbeat = heartbeat.Timing{Every: 10 * time.Millisecond, Patience: 200 * time.Millisecond}
			})
			conn := r.speak() // which reads nothing, so it answers no ping
			if err := conn.text(`{"command":["x"]}`); err != nil {
				t.Fatal(err)
			}
			if err := receive(t, "the end of the command", ended); err == nil {
				t.Error("the command ended by itself")
			}
		})
	}
}

// A client that takes nothing of what there is to say pins neither the stream nor what feeds it.
func TestAStoppedClientPinsNothing(t *testing.T) {
	d, ended := newDouble().add(leased("otter")), make(chan error, 1)
	d.logs = func(_ context.Context, _ string, _ time.Time, _ bool, write func(fleet.LogLine) error) error {
		for {
			if err := write(fleet.LogLine{At: noon, Source: "sandbox", Text: strings.Repeat("x", 60_000)}); err != nil {
				ended <- err
				return err
			}
		}
	}
	r := start(t, d, func(c *apiConfig) { c.Heartbeat.Patience = 200 * time.Millisecond })
	conn := r.dial()
	if _, err := io.WriteString(conn, "GET /v1/environments/otter/logs?follow=true HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	_ = receive(t, "the end of the writing", ended)
}

// Somebody who takes long to read what a command printed, as in a pager, is there: the client says so.
func TestASlowReaderIsNotCutOff(t *testing.T) {
	const size = 8 << 20 // more than what lies between holds
	timing := heartbeat.Timing{Every: 50 * time.Millisecond, Patience: 2 * time.Second}
	t.Run("exec", func(t *testing.T) {
		t.Parallel()
		d := newDouble().add(leased("otter"))
		d.exec = func(_ context.Context, _ provisioner.ExecRequest, s provisioner.Streams) (int, error) {
			_, err := io.CopyN(s.Stdout, zeros{}, size)
			return 7, err
		}
		r := start(t, d, func(c *apiConfig) { c.Heartbeat = timing })
		way := r.between()
		out := &gate{open: make(chan struct{})}
		ended := make(chan error, 1)
		go func() {
			code, err := r.clientOf(client.Options{Host: "unix://" + way.path, Heartbeat: timing}).Exec(limited(t), "otter", wire.ExecStart{Command: []string{"x"}}, client.ExecStreams{Stdout: out})
			if err == nil && code != 7 {
				err = errors.New("another exit code")
			}
			ended <- err
		}()
		until(t, "output waits to be read", out.waiting.Load)
		begun := way.up.Load()
		// Longer than the patience, in the client's own measure.
		until(t, "the client shows that it is alive", func() bool { return way.up.Load() >= begun+int64(2*timing.Patience/timing.Every) })
		close(out.open)
		if err := receive(t, "its end", ended); err != nil || out.n.Load() != size {
			t.Errorf("%d bytes, %v", out.n.Load(), err)
		}
	})
	t.Run("lines", func(t *testing.T) {
		t.Parallel()
		d, written := newDouble().add(leased("otter")), make(chan error, 1)
		d.logs = func(_ context.Context, _ string, _ time.Time, _ bool, write func(fleet.LogLine) error) (err error) {
			defer func() { written <- err }()
			for range size / 1000 {
				if err := write(fleet.LogLine{At: noon, Source: "sandbox", Text: strings.Repeat("x", 1000)}); err != nil {
					return err
				}
			}
			return nil
		}
		r := start(t, d, func(c *apiConfig) { c.Heartbeat = timing })
		open, ended, n := make(chan struct{}), make(chan error, 1), 0
		go func() {
			ended <- r.client().Logs(limited(t), "otter", time.Time{}, false, func(wire.LogLine) error { <-open; n++; return nil })
		}()
		if err := receive(t, "the last line", written); err != nil {
			t.Errorf("the stream was ended: %v", err)
		}
		close(open)
		if err := receive(t, "its end", ended); err != nil || n != size/1000 {
			t.Errorf("%d lines, %v", n, err)
		}
	})
}

// gate takes nothing until it is opened.
type gate struct {
	open    chan struct{}
	waiting atomic.Bool
	n       atomic.Int64
}

func (g *gate) Write(p []byte) (int, error) {
	g.waiting.Store(true)
	<-g.open
	g.n.Add(int64(len(p)))
	return len(p), nil
}
