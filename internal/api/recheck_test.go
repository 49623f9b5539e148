package api_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api"
	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// Whoever loses the token, the membership, the tenant or the role loses what they have open, and is told why: exec, events,
// logs, watch and copies both ways.
func TestLongAnswersEndWithTheAccessThatAllowedThem(t *testing.T) {
	without := func(line string) string { return strings.Replace(organisation, line, "", 1) }
	for name, c := range map[string]struct {
		user string
		// tokens and people are the files as they become; "" for as they were.
		tokens, people string
		code, says     string
	}{
		"the token is gone":            {"ada", tokenLine("root", "root"), "", wire.CodeUnauthenticated, "your access was revoked"},
		"the token is another's":       {"ada", tokenLine("root", "ada"), "", wire.CodePolicy, "your access was revoked"},
		"the membership is gone":       {"ada", "", strings.ReplaceAll(organisation, "ada, root", "root") + "", wire.CodePolicy, "your access was revoked"},
		"the tenant is another":        {"ada", "", strings.Replace(strings.NewReplacer("ada, root", "root", "[ada]", "[eva]").Replace(organisation), "[bob]", "[bob, ada]", 1), wire.CodePolicy, "your access was revoked"},
		"the role is gone":             {"root", "", without("platform: [root]\n"), wire.CodePolicy, "your access was revoked"},
		"nobody can tell for too long": {"ada", "half a line", "", wire.CodeUnavailable, ""},
	} {
		if name == "the membership is gone" {
			c.people = strings.Replace(c.people, "[ada]", "[eva]", 1)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel() // Most of it is waiting.
			env := leased("otter")
			env.Tenant, env.Team = "acme", "core"
			d := newDouble().add(env)
			opened := make(chan struct{}, 6)
			until := func(ctx context.Context) error {
				opened <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			}
			d.watch = func(ctx context.Context, _ string, _ int64, update func(fleet.Environment, []fleet.Event) error) error {
				return errors.Join(update(env, nil), until(ctx))
			}
			d.logs = func(ctx context.Context, _ string, _ time.Time, _ bool, _ func(fleet.LogLine) error) error {
				return until(ctx)
			}
			d.exec = func(ctx context.Context, _ provisioner.ExecRequest, _ provisioner.Streams) (int, error) {
				return 0, until(ctx)
			}
			d.copyTo = func(ctx context.Context, _, _ string, _ io.Reader) error { return until(ctx) }
			d.watchEvents = until
			dir, people := withPeople(t)
			r := start(t, d, people, func(c *api.Config) { c.RecheckEvery = 10 * time.Millisecond })
			cl := r.clientOf(client.Options{Host: "https://" + r.server.Addr().String(), Token: c.user, CAFile: filepath.Join(dir, "cert.pem")})
			upload, feed := io.Pipe()
			defer feed.Close()
			ends := map[string]chan error{}
			for what, open := range map[string]func(context.Context) error{
				"watch": func(ctx context.Context) error {
					return cl.Watch(ctx, "otter", 0, func(wire.Update) error { return nil })
				},
				"logs": func(ctx context.Context) error {
					return cl.Logs(ctx, "otter", time.Time{}, true, func(wire.LogLine) error { return nil })
				},
				"events": func(ctx context.Context) error {
					return cl.FollowEvents(ctx, client.EventOptions{}, func(wire.Event) error { return nil })
				},
				"exec": func(ctx context.Context) error {
					_, err := cl.Exec(ctx, "otter", wire.ExecStart{Command: []string{"sh"}}, client.ExecStreams{})
					return err
				},
				"copy in": func(ctx context.Context) error { return cl.CopyTo(ctx, "otter", "", "", upload) },
			} {
				end := make(chan error, 1)
				ends[what] = end
				ctx := limited(t)
				go func() { end <- open(ctx) }()
			}
			for range ends {
				receive(t, "an open stream", opened)
			}
			for file, content := range map[string]string{"tokens": c.tokens, "organisation.yaml": c.people} {
				if content != "" {
					replace(t, filepath.Join(dir, file), content)
				}
			}
			for what, end := range ends {
				err := receive(t, "the end of "+what, end)
				if client.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s ended with %v, code %q; want %q, code %q", what, err, client.CodeOf(err), c.says, c.code)
				}
			}
		})
	}
}

// replace puts a file in another's place at once, as whoever keeps it should.
func replace(t *testing.T, path, content string) {
	t.Helper()
	put(t, filepath.Dir(path), "new", content)
	if err := os.Rename(filepath.Join(filepath.Dir(path), "new"), path); err != nil {
		t.Fatal(err)
	}
}

// A copy out has begun when its access ends: its record tells why, however the stream from the sandbox ends when it is closed.
func TestACopyOutEndsWithItsAccess(t *testing.T) {
	for name, closed := range map[string]error{"an error": io.ErrClosedPipe, "an end": io.EOF} {
		t.Run("the stream closes with "+name, func(t *testing.T) {
			t.Parallel()
			env := leased("otter")
			env.Tenant = "acme"
			d := newDouble().add(env)
			content, feed := io.Pipe()
			d.copyFrom = func(context.Context, string, string) (io.ReadCloser, error) {
				return closesWith{content, feed, closed}, nil
			}
			dir, people := withPeople(t)
			r := start(t, d, people, func(c *api.Config) { c.RecheckEvery = 10 * time.Millisecond })
			cl := r.clientOf(client.Options{Host: "https://" + r.server.Addr().String(), Token: "ada", CAFile: filepath.Join(dir, "cert.pem")})
			go func() { _, _ = feed.Write([]byte("part")) }() // ends when the pipe is closed
			tar, err := cl.CopyFrom(limited(t), "otter", "/a", "")
			if err != nil {
				t.Fatal(err)
			}
			defer tar.Close()
			if _, err := io.ReadFull(tar, make([]byte, 4)); err != nil {
				t.Fatal(err)
			}
			replace(t, filepath.Join(dir, "tokens"), tokenLine("root", "root"))
			_, err = io.ReadAll(tar)
			if client.CodeOf(err) != wire.CodeUnauthenticated || !strings.Contains(err.Error(), "your access was revoked") {
				t.Errorf("the copy ended with %v, code %q; want the reason", err, client.CodeOf(err))
			}
			if _, err := feed.Write([]byte("more")); err == nil {
				t.Error("the copy goes on inside")
			}
		})
	}
}

// closesWith is a pipe whose reader gets err once it is closed.
type closesWith struct {
	*io.PipeReader
	feed *io.PipeWriter
	err  error
}

func (c closesWith) Close() error { return c.feed.CloseWithError(c.err) }

// A client that does not read its last word is cut off all the same.
func TestAStreamThatIsNotReadEndsToo(t *testing.T) {
	env := leased("otter")
	env.Tenant = "acme"
	d := newDouble().add(env)
	ended := make(chan error, 1)
	d.logs = func(_ context.Context, _ string, _ time.Time, _ bool, write func(fleet.LogLine) error) error {
		for {
			if err := write(fleet.LogLine{At: noon, Source: "sandbox", Text: strings.Repeat("x", 60_000)}); err != nil {
				ended <- err
				return err
			}
		}
	}
	dir, people := withPeople(t)
	r := start(t, d, people, func(c *api.Config) { c.RecheckEvery = 10 * time.Millisecond })
	tr := trust(t, dir)
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(limited(t), "GET", "https://"+r.server.Addr().String()+"/v1/environments/otter/logs?follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer ada")
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	replace(t, filepath.Join(dir, "tokens"), tokenLine("root", "root"))
	_ = receive(t, "the end of the write", ended) // which error it is does not matter
}
