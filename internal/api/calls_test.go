package api_test

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"os/user"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
)

// me is who the kernel says is at the other end of the socket.
func me(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

// myself is the identity of who runs the test, where there is no file of tenants.
func myself(t *testing.T) fleet.Identity {
	t.Helper()
	return fleet.Identity{User: me(t), Tenant: "default", Team: "default", Teams: []string{"default"}, Role: fleet.RolePlatform, Share: fleet.ShareNobody}
}

func TestCreateHandsTheWholeRequestToTheEngine(t *testing.T) {
	r := start(t, newDouble())
	ttl := int64(90)
	env, existed, err := r.client().Create(limited(t), wire.CreateRequest{
		Blueprint: "build@1.0.0", Size: "small", Name: "otter", Share: "team", Project: "shop", TTLSeconds: &ttl,
		Inputs: map[string]any{"shm_mib": 32, "on": true, "word": "x"},
	}, "key-1")
	if err != nil || existed {
		t.Fatalf("existed %v, error %v", existed, err)
	}
	if env.Name != "otter" || env.State != "pending" {
		t.Errorf("environment %+v", env)
	}
	span := 90 * time.Second
	want := service.Request{
		Who: myself(t), Project: "shop", Blueprint: "build@1.0.0", Size: "small", Name: "otter", Share: fleet.ShareTeam, TTL: &span, IdempotencyKey: "key-1",
		Inputs: map[string]any{"shm_mib": 32.0, "on": true, "word": "x"},
	}
	if diff := cmp.Diff([]service.Request{want}, r.engine.requests); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestCreateTwiceWithOneKeySaysThatItExisted(t *testing.T) {
	r := start(t, newDouble())
	for i, want := range []struct {
		status  int
		existed bool
	}{{201, false}, {200, true}} {
		resp, body := r.raw("POST", "/v1/environments", strings.NewReader(`{"name":"otter"}`), "Idempotency-Key", "k", "Content-Type", "application/json")
		if resp.StatusCode != want.status {
			t.Errorf("call %d: %d %s", i, resp.StatusCode, body)
		}
	}
	_, existed, err := r.client().Create(limited(t), wire.CreateRequest{Name: "otter"}, "k")
	if err != nil || !existed {
		t.Errorf("existed %v, error %v", existed, err)
	}
}

func TestALeaseOfAbsurdLengthReachesTheEngineWithoutOverflow(t *testing.T) {
	r := start(t, newDouble())
	for _, seconds := range []int64{math.MaxInt64, math.MinInt64, 0, -1} {
		if _, _, err := r.client().Create(limited(t), wire.CreateRequest{Name: "otter", TTLSeconds: &seconds}, ""); err != nil {
			t.Fatal(err)
		}
		got := *r.engine.requests[len(r.engine.requests)-1].TTL
		if (seconds > 0) != (got > 0) || (seconds < 0) != (got < 0) {
			t.Errorf("%d s reached the engine as %s", seconds, got)
		}
	}
}

func TestAnEnvironmentIsToldWhole(t *testing.T) {
	env := leased("otter")
	env.Project, env.Reason, env.Work.Attempts = "shop", "in use", 2
	env.Failure = &fleet.Failure{Code: fleet.CodeProvision, Sentence: "no room", Hint: "make some", At: noon}
	r := start(t, newDouble().add(env))
	got, err := r.client().Get(limited(t), "otter")
	if err != nil {
		t.Fatal(err)
	}
	begin, end := noon.Add(-30*time.Minute), noon.Add(30*time.Minute)
	want := wire.Environment{
		ID: "id-otter", Name: "otter", Tenant: "default", Team: "default", Owner: "ada", Share: "tenant", MayUse: true, Project: "shop",
		Blueprint: wire.BlueprintRef{Name: "build", Version: "1.0.0", Digest: "sha256:00"},
		Size:      wire.Size{Name: "small", CPUs: 1, MemoryMiB: 1024, Pids: 512, RateMicrosPerHour: 3_600_000, Currency: "USD"},
		Inputs:    map[string]any{"shm_mib": 64.0}, State: "leased", Reason: "in use",
		Failure: &wire.Failure{Code: "provision_failed", Sentence: "no room", Hint: "make some", At: noon},
		Users:   []string{"dev", "root"}, Workspace: "/workspace",
		Lease: wire.Lease{TTLSeconds: 3600, MaxTTLSeconds: 8 * 3600, Start: &begin, End: &end, LeftSeconds: 1800},
		Cost:  wire.Cost{Currency: "USD", RateMicrosPerHour: 3_600_000, AccruedMicros: 1_800_000, AtExpiryMicros: 3_600_000},
		// Half an hour at 3.6 units an hour is 1.8.
		CreatedAt: noon.Add(-31 * time.Minute), ReadyAt: &begin, Attempts: 2, Revision: 4,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

// TestAnotherDaemonsEnvironmentNamesThatDaemon: an answer about one says where it can be used; one that can be used here does not.
func TestAnotherDaemonsEnvironmentNamesThatDaemon(t *testing.T) {
	for host, want := range map[string]string{"r2": "https://r2.example:8443", "local": ""} {
		env := leased("otter")
		env.Host = host
		r := start(t, newDouble().add(env))
		c := r.client()
		got, err := c.Get(limited(t), "otter")
		if err != nil || got.DaemonAddress != want {
			t.Errorf("get on %s: %q, %v", host, got.DaemonAddress, err)
		}
		err = c.Watch(limited(t), "otter", 0, func(u wire.Update) error {
			if u.Environment.DaemonAddress != want {
				t.Errorf("watch on %s: %q", host, u.Environment.DaemonAddress)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		env.State, env.Host = fleet.Destroyed, "r2"
		r.engine.add(env)
		if gone, err := c.Get(limited(t), "otter"); err != nil || gone.DaemonAddress != "" {
			t.Errorf("when it is gone: %q, %v", gone.DaemonAddress, err)
		}
	}
}

// TestFailedTriesOfACreate: those that found something away count, which cost it nothing; the one that runs does not.
func TestFailedTriesOfACreate(t *testing.T) {
	env := leased("otter")
	env.State, env.Work = fleet.Provisioning, fleet.Work{Action: fleet.Create, Generation: 5, Worker: "d.p", LastError: "no registry"}
	r := start(t, newDouble().add(env))
	got, err := r.client().Get(limited(t), "otter")
	if err != nil || got.Attempts != 4 {
		t.Errorf("%d failed tries, %v; want 4", got.Attempts, err)
	}
}

func TestLeaseAndCostFitTheState(t *testing.T) {
	for _, c := range []struct {
		name         string
		change       func(*fleet.Environment)
		left         int64
		warning      bool
		cost, expiry int64
	}{
		{"under a tenth left", func(e *fleet.Environment) { e.Lease.End = noon.Add(3 * time.Minute) }, 180, true, 1_800_000, 1_980_000},
		{"overdue", func(e *fleet.Environment) { e.Lease.End = noon.Add(-time.Minute) }, -60, true, 1_800_000, 1_800_000},
		{"not handed over", func(e *fleet.Environment) {
			e.State, e.Lease.Start, e.Lease.End, e.BilledFrom = fleet.Pending, time.Time{}, time.Time{}, time.Time{}
		}, 3600, false, 0, 3_600_000},
		{"going", func(e *fleet.Environment) { e.State = fleet.Destroying }, 1800, false, 1_800_000, 1_800_000},
		{"gone", func(e *fleet.Environment) { e.State, e.BilledUntil = fleet.Destroyed, noon.Add(-29*time.Minute) }, 0, false, 60_000, 60_000},
		{"gone and never made", func(e *fleet.Environment) {
			e.State, e.Lease.Start, e.Lease.End, e.BilledFrom = fleet.Destroyed, time.Time{}, time.Time{}, time.Time{}
		}, 0, false, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := leased("otter")
			env.HeldMicros = 20_000
			c.change(&env)
			r := start(t, newDouble().add(env))
			got, err := r.client().Get(limited(t), "otter")
			if err != nil {
				t.Fatal(err)
			}
			if got.Lease.LeftSeconds != c.left || got.Lease.Warning != c.warning {
				t.Errorf("lease %+v, want %d s left, warning %v", got.Lease, c.left, c.warning)
			}
			if held := got.Cost.HeldMicros; (held == 0) != (env.State == fleet.Destroyed) {
				t.Errorf("%d are held while it is %s; all are until it is gone, and none after that", held, env.State)
			}
			if got.Cost.AccruedMicros != c.cost || got.Cost.AtExpiryMicros != c.expiry {
				t.Errorf("cost %+v, want %d and %d at expiry", got.Cost, c.cost, c.expiry)
			}
		})
	}
}

func TestListFollowsThePagesAndPassesTheFilter(t *testing.T) {
	r := start(t, newDouble().add(leased("a"), leased("b"), leased("c")))
	r.engine.add(leased("d"))
	delete(r.engine.envs, "d")
	page := func(o client.ListOptions) []string {
		envs, err := r.client().List(limited(t), o)
		if err != nil {
			t.Fatal(err)
		}
		names := []string{}
		for _, e := range envs {
			names = append(names, e.Name)
		}
		return names
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, page(client.ListOptions{All: true, States: []string{"leased", "failed"}, Owner: "o", Project: "p", Blueprint: "b"})); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	want := service.Selection{Filter: service.Filter{IncludeGone: true, States: []fleet.State{fleet.Leased, fleet.Failed}, Owner: "o", Project: "p", Blueprint: "b", Limit: 1000}}
	if diff := cmp.Diff(want, r.engine.filters[0]); diff != "" {
		t.Errorf("filter (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "b"}, page(client.ListOptions{Limit: 2})); diff != "" {
		t.Errorf("two of them (-want +got):\n%s", diff)
	}
	if last := r.engine.filters[len(r.engine.filters)-1]; last.Limit != 1 || last.Cursor != "a" || last.IncludeGone {
		t.Errorf("the second page was asked for by %+v", last)
	}
}

func TestExtendAndReleaseSayWhoDidIt(t *testing.T) {
	r := start(t, newDouble().add(leased("otter")))
	c := r.client()
	env, err := c.Extend(limited(t), "otter", 90*time.Minute)
	if err != nil || env.Lease.LeftSeconds != 2*3600 {
		t.Errorf("extended: %+v, %v", env.Lease, err)
	}
	for range 2 {
		if env, err := c.Release(limited(t), "otter"); err != nil || env.State != "destroying" {
			t.Errorf("released: %s, %v", env.State, err)
		}
	}
	if diff := cmp.Diff([]string{me(t), me(t), me(t)}, r.engine.actors); diff != "" {
		t.Errorf("actors (-want +got):\n%s", diff)
	}
	if resp, _ := r.raw("DELETE", "/v1/environments/otter", nil); resp.StatusCode != http.StatusAccepted {
		t.Errorf("DELETE gives %d", resp.StatusCode)
	}
}

func TestEventsBlueprintsAndVersion(t *testing.T) {
	r := start(t, newDouble().add(leased("otter")))
	c := r.client()
	es, err := c.Events(limited(t), "otter", 3, 0)
	want := wire.Event{Seq: 4, At: noon, Environment: "id-otter", Kind: "environment.requested", Message: "asked for", Actor: "ada"}
	if err != nil || len(es) != 2 || !cmp.Equal(es[0], want) {
		t.Errorf("events %+v, %v", es, err)
	}
	if es, err := c.Events(limited(t), "otter", 0, 1); err != nil || len(es) != 1 {
		t.Errorf("one event: %+v, %v", es, err)
	}
	bps, err := c.Blueprints(limited(t))
	if err != nil || len(bps) != 1 || bps[0].Inputs[0].Name != "shm_mib" || bps[0].Inputs[0].Required || *bps[0].Inputs[0].Max != 1024 {
		t.Errorf("blueprints %+v, %v", bps, err)
	}
	if bp, err := c.Blueprint(limited(t), "build@1.0.0"); err != nil || bp.DefaultTTLSeconds != 3600 || bp.Sizes[0].RateMicrosPerHour != 10_000 {
		t.Errorf("blueprint %+v, %v", bp, err)
	}
	if _, err := c.Blueprint(limited(t), "biuld"); client.CodeOf(err) != wire.CodeNotFound {
		t.Errorf("unknown blueprint: %v", err)
	}
	if v, err := c.Version(limited(t)); err != nil || v != (wire.Version{Version: "test", Instance: "inst1", MaxCopyBytes: 2 << 30}) {
		t.Errorf("version %+v, %v", v, err)
	}
}

func TestReadyAndDoctorTellWhatIsAmiss(t *testing.T) {
	d := newDouble()
	d.checks = []service.Check{{Name: "store", Status: service.OK, Message: "fine"}, {Name: "isolation", Status: service.Warning, Message: "hm"}}
	r := start(t, d)
	if h, err := r.client().Health(limited(t)); err != nil || !h.Ready || len(h.Checks) != 2 {
		t.Errorf("health with a warning: %+v, %v", h, err)
	}
	d.checks = append(d.checks, service.Check{Name: "docker", Status: service.Down, Message: "away", Hint: "start it"})
	h, err := r.client().Health(limited(t))
	if err != nil || h.Ready || h.Checks[2] != (wire.Check{Name: "docker", Status: "failed", Message: "away", Hint: "start it"}) {
		t.Errorf("health with Docker away: %+v, %v", h, err)
	}
	if resp, _ := r.raw("GET", "/readyz", nil); resp.StatusCode != 503 {
		t.Errorf("readyz: %d", resp.StatusCode)
	}
	if resp, _ := r.raw("GET", "/v1/doctor", nil); resp.StatusCode != 200 {
		t.Errorf("doctor: %d", resp.StatusCode)
	}
	if resp, body := r.raw("GET", "/healthz", nil); resp.StatusCode != 200 || !strings.Contains(body, "ok") {
		t.Errorf("healthz: %d %s", resp.StatusCode, body)
	}
}

func TestAnEngineThatHangsIsGivenUp(t *testing.T) {
	d := newDouble()
	d.find = func(ctx context.Context, _ string) (fleet.Environment, error) {
		<-ctx.Done()
		return fleet.Environment{}, fmt.Errorf("find: %w", ctx.Err())
	}
	r := start(t, d, func(c *apiConfig) { c.RequestTimeout = 200 * time.Millisecond })
	resp, body := r.raw("GET", "/v1/environments/otter", nil)
	if p := problemIn(t, resp, body); resp.StatusCode != 503 || p.Code != "unavailable" {
		t.Errorf("got %d %+v", resp.StatusCode, p)
	}
}
