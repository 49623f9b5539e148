package api_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api"
	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
)

// uses are the requests that only an environment which is ready for use answers.
var uses = []struct{ method, path, body string }{
	{"POST", "/v1/environments/otter/extend", `{"by_seconds":60}`},
	{"POST", "/v1/environments/otter/touch", ""},
	{"PUT", "/v1/environments/otter/files?path=/workspace", "tar"},
	{"GET", "/v1/environments/otter/files?path=/workspace", ""},
}

// TestPromiseNotReadyPasses: what refuses a request because its environment is on its way is 409 with a code of its own and with
// when to try again, and passes; a conflict that stays has neither.
func TestPromiseNotReadyPasses(t *testing.T) {
	e, _ := realEngine(t)
	r := serve(t, servicesOf(e, shelf{t.TempDir()}))
	platform := fleet.Identity{User: "root", Role: fleet.RolePlatform}
	drain := func(drained bool) {
		t.Helper()
		if _, err := e.Hosts.Drain(t.Context(), platform, "local", drained); err != nil {
			t.Fatal(err)
		}
	}
	state := func(want string) {
		t.Helper()
		until(t, "it is "+want, func() bool {
			env, err := r.client().Get(limited(t), "otter")
			return err == nil && env.State == want
		})
	}
	until(t, "the host is served", func() bool { hosts, err := e.Hosts.List(t.Context(), platform); return err == nil && len(hosts) == 1 })
	drain(true) // so that it waits for as long as this test likes
	env, _, err := r.client().Create(limited(t), wire.CreateRequest{Name: "otter"}, "")
	if err != nil {
		t.Fatal(err)
	}
	notReady(t, r)

	drain(false)
	state("leased")
	if resp, body := r.raw("POST", "/v1/environments/otter/touch", nil); resp.StatusCode != http.StatusOK || resp.Header.Get("Retry-After") != "" {
		t.Errorf("when it is ready: %d, Retry-After %q: %s", resp.StatusCode, resp.Header.Get("Retry-After"), body)
	}

	if _, err := r.client().Release(limited(t), "otter"); err != nil {
		t.Fatal(err)
	}
	for _, use := range uses {
		resp, body := r.raw(use.method, strings.Replace(use.path, "otter", client.ID(env.ID), 1), strings.NewReader(use.body))
		p := problemIn(t, resp, body)
		if resp.StatusCode != http.StatusConflict || p.Code != wire.CodeConflict || p.RetryAfter != 0 || resp.Header.Get("Retry-After") != "" {
			t.Errorf("%s %s of one that goes: %d, Retry-After %q, %+v", use.method, use.path, resp.StatusCode, resp.Header.Get("Retry-After"), p)
		}
	}
}

// notReady checks that otter is answered as not ready yet, by every way to use it.
func notReady(t *testing.T, r *rig) {
	t.Helper()
	for _, use := range uses {
		resp, body := r.raw(use.method, use.path, strings.NewReader(use.body))
		p := problemIn(t, resp, body)
		if resp.StatusCode != http.StatusConflict || p.Code != wire.CodeNotReady || p.RetryAfter != 1 || resp.Header.Get("Retry-After") != "1" {
			t.Errorf("%s %s: %d, Retry-After %q, %+v; want 409, 1, not_ready", use.method, use.path, resp.StatusCode, resp.Header.Get("Retry-After"), p)
		}
	}
	// An exec's answer is a message and has no headers.
	_, err := r.client().Exec(limited(t), "otter", wire.ExecStart{Command: []string{"true"}}, client.ExecStreams{})
	var e *client.Error
	if !errors.As(err, &e) || e.Code != wire.CodeNotReady || e.Status != http.StatusConflict || e.RetryAfter != time.Second {
		t.Errorf("exec: %#v", err)
	}
}

// TestNoStatusOfWebDAV: what the rights inside an environment do not allow is forbidden, and no code is answered as 424.
func TestNoStatusOfWebDAV(t *testing.T) {
	for _, code := range api.Codes() {
		if api.StatusOf(code) == http.StatusFailedDependency {
			t.Errorf("%s is answered as 424", code)
		}
	}
	d := newDouble().add(leased("otter"))
	d.copyFrom = func(context.Context, string, string) (io.ReadCloser, error) {
		return nil, fleet.Errorf(fleet.CodeDenied, "reading /root failed: Permission denied")
	}
	resp, body := start(t, d).raw("GET", "/v1/environments/otter/files?path=/root", nil)
	if p := problemIn(t, resp, body); resp.StatusCode != http.StatusForbidden || p.Code != wire.CodeDenied || resp.Header.Get("Retry-After") != "" {
		t.Errorf("got %d %s, Retry-After %q, want 403 denied and none", resp.StatusCode, p.Code, resp.Header.Get("Retry-After"))
	}
}
