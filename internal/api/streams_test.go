package api_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
)

func TestWatchTellsEachChangeAtOnce(t *testing.T) {
	d, step := newDouble(), make(chan fleet.State)
	d.watch = func(_ context.Context, name string, after int64, update func(fleet.Environment, []fleet.Event) error) error {
		for state := range step {
			env := leased(name)
			env.State = state
			after++
			if err := update(env, []fleet.Event{{Seq: after, At: noon, Kind: "x", Message: "m"}}); err != nil {
				return err
			}
		}
		return nil
	}
	r := start(t, d)
	got, done := make(chan wire.Update), make(chan error, 1)
	go func() {
		done <- r.client().Watch(limited(t), "otter", 7, func(u wire.Update) error { got <- u; return nil })
	}()
	for i, state := range []fleet.State{fleet.Pending, fleet.Provisioning, fleet.Leased, fleet.Destroyed} {
		step <- state
		u := receive(t, "update", got)
		if u.Environment.State != string(state) || len(u.Events) != 1 || u.Events[0].Seq != int64(8+i) {
			t.Errorf("update %d: %+v", i, u)
		}
	}
	close(step)
	if err := receive(t, "end", done); err != nil {
		t.Error(err)
	}
}

func TestAStreamEndsInTheEngineWhenItsClientLeaves(t *testing.T) {
	d, ended := newDouble(), make(chan error, 2)
	d.add(leased("otter"))
	d.watch = func(ctx context.Context, _ string, _ int64, update func(fleet.Environment, []fleet.Event) error) error {
		_ = update(leased("otter"), nil)
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}
	d.logs = func(ctx context.Context, _ string, _ time.Time, _ bool, write func(fleet.LogLine) error) error {
		_ = write(fleet.LogLine{At: noon, Source: "bothy", Text: "x"})
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}
	r := start(t, d)
	enough := errors.New("enough")
	if err := r.client().Watch(limited(t), "otter", 0, func(wire.Update) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("watch gave %v", err)
	}
	if err := r.client().Logs(limited(t), "otter", time.Time{}, true, func(wire.LogLine) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("logs gave %v", err)
	}
	for range 2 {
		if err := receive(t, "end of the engine's call", ended); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if strings.Contains(r.log.String(), "level=ERROR") {
		t.Errorf("a client that leaves is no error:\n%s", r.log)
	}
}

func TestAWatchThatBreaksIsTakenUpWhereItStood(t *testing.T) {
	d := newDouble()
	var afters []int64
	d.watch = func(_ context.Context, name string, after int64, update func(fleet.Environment, []fleet.Event) error) error {
		afters = append(afters, after)
		if err := update(leased(name), []fleet.Event{{Seq: after + 5, At: noon}}); err != nil {
			return err
		}
		switch len(afters) {
		case 1:
			panic("cut")
		case 2:
			return fleet.Errorf(fleet.CodeUnavailable, "the store is away")
		}
		return nil
	}
	r := start(t, d)
	var seen []int64
	err := r.client().Watch(limited(t), "otter", 1, func(u wire.Update) error { seen = append(seen, u.Events[0].Seq); return nil })
	if err != nil {
		t.Error(err)
	}
	if !slices.Equal(afters, []int64{1, 6, 11}) || !slices.Equal(seen, []int64{6, 11, 16}) {
		t.Errorf("asked after %v, saw %v", afters, seen)
	}
}

func TestLogsComeLineByLineAndSayWhyTheyEndEarly(t *testing.T) {
	d, since := newDouble().add(leased("otter")), noon.Add(-time.Minute+3*time.Nanosecond)
	d.logs = func(_ context.Context, name string, from time.Time, follow bool, write func(fleet.LogLine) error) error {
		if name != "otter" || !from.Equal(since) || !follow {
			t.Errorf("asked for %s since %s, follow %v", name, from, follow)
		}
		_ = write(fleet.LogLine{At: noon, Source: "terraform", Text: "Apply \x1b[1mcomplete</x>"})
		return fleet.Errorf(fleet.CodeUnavailable, "the engine is away").WithHint("wait")
	}
	r := start(t, d)
	var got []wire.LogLine
	err := r.client().Logs(limited(t), "otter", since, true, func(l wire.LogLine) error { got = append(got, l); return nil })
	if diff := cmp.Diff([]wire.LogLine{{At: noon, Source: "terraform", Text: "Apply \x1b[1mcomplete</x>"}}, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	var e *client.Error
	if !errors.As(err, &e) || e.Code != wire.CodeUnavailable || e.Sentence != "the engine is away" || e.Hint != "wait" {
		t.Errorf("ended with %v", err)
	}
	if err := r.client().Logs(limited(t), "nix", time.Time{}, false, nil); client.CodeOf(err) != wire.CodeNotFound {
		t.Errorf("logs of nothing: %v", err)
	}
}

func TestTheHeadOfAnEmptyLogComesAtOnce(t *testing.T) {
	d, release := newDouble().add(leased("otter")), make(chan struct{})
	d.logs = func(ctx context.Context, _ string, _ time.Time, _ bool, _ func(fleet.LogLine) error) error {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil
	}
	r := start(t, d)
	conn := r.dial()
	_, _ = io.WriteString(conn, "GET /v1/environments/otter/logs?follow=true HTTP/1.1\r\nHost: x\r\n\r\n")
	line := make([]byte, 15)
	if _, err := io.ReadFull(conn, line); err != nil || string(line) != "HTTP/1.1 200 OK" {
		t.Errorf("head %q, %v", line, err)
	}
	close(release)
}

func TestStreamsAreCappedPerCaller(t *testing.T) {
	d := newDouble()
	d.watch = func(ctx context.Context, _ string, _ int64, update func(fleet.Environment, []fleet.Event) error) error {
		_ = update(leased("otter"), nil)
		<-ctx.Done()
		return ctx.Err()
	}
	dir, tcp := withTCP(t)
	r := start(t, d, tcp, func(c *apiConfig) { c.MaxStreams = 2 })
	ctx, cancel := context.WithCancel(limited(t))
	up, ended := make(chan struct{}), make(chan error, 3)
	watch := func(c *client.Client) {
		ended <- c.Watch(ctx, "otter", 0, func(wire.Update) error { up <- struct{}{}; return nil })
	}
	for range 2 {
		go watch(r.client())
		receive(t, "stream", up)
	}
	err := r.client().Watch(ctx, "otter", 0, func(wire.Update) error { return nil })
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Code != wire.CodeQuota || e.Status != http.StatusTooManyRequests ||
		!strings.Contains(e.Sentence, "2 streams open") || !strings.Contains(e.Hint, "max_streams") {
		t.Errorf("the third stream: %#v", err)
	}
	// Another caller has room of their own.
	go watch(r.clientOf(client.Options{Host: "https://" + r.server.Addr().String(), Token: "sesame", CAFile: dir + "/cert.pem"}))
	receive(t, "stream of another", up)
	cancel()
	for range 3 {
		if err := receive(t, "end", ended); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	until(t, "there is room again", func() bool {
		enough := errors.New("enough")
		return errors.Is(r.client().Watch(limited(t), "otter", 0, func(wire.Update) error { return enough }), enough)
	})
}

func TestStreamsMayTakeLongerThanRequests(t *testing.T) {
	const request = 100 * time.Millisecond
	late := func() { time.Sleep(4 * request) } // beyond every deadline of a request
	d := newDouble()
	d.watch = func(_ context.Context, _ string, _ int64, update func(fleet.Environment, []fleet.Event) error) error {
		_ = update(leased("otter"), nil)
		late()
		return update(leased("otter"), nil)
	}
	d.copyFrom = func(context.Context, string, string) (io.ReadCloser, error) {
		late()
		return io.NopCloser(strings.NewReader("content")), nil
	}
	d.copyTo = func(_ context.Context, _, _ string, tar io.Reader) error {
		late()
		_, err := io.Copy(io.Discard, tar)
		return err
	}
	r := start(t, d, func(c *apiConfig) { c.RequestTimeout, c.HeaderTimeout = request, request })
	updates := 0
	if err := r.client().Watch(limited(t), "otter", 0, func(wire.Update) error { updates++; return nil }); err != nil || updates != 2 {
		t.Errorf("%d updates, %v", updates, err)
	}
	body, err := r.client().CopyFrom(limited(t), "otter", "/out", "")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); string(got) != "content" || err != nil {
		t.Errorf("download %q, %v", got, err)
	}
	if err := r.client().CopyTo(limited(t), "otter", "/w", "", strings.NewReader("content")); err != nil {
		t.Errorf("upload: %v", err)
	}
}
