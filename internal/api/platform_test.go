package api_test

import (
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
)

func TestARequestReachesTheEngineWithAllThatItSays(t *testing.T) {
	r := start(t, newDouble())
	ttl, idle, queue := int64(90), int64(60), int64(0)
	req := wire.CreateRequest{
		Name: "otter", Project: "shop", PullRequest: "17", TTLSeconds: &ttl, IdleSeconds: &idle, QueueTimeoutSeconds: &queue,
		NoQueue: true, NoPool: true, Vars: map[string]string{"CI": "1"}, Secrets: map[string][]byte{"key": {0, 1, 0xff}},
	}
	if _, _, err := r.client().Create(limited(t), req, ""); err != nil {
		t.Fatal(err)
	}
	q, err := r.client().Quote(limited(t), req)
	if err != nil {
		t.Fatal(err)
	}
	want := service.Request{
		Who: myself(t), Name: "otter", Project: "shop", PullRequest: "17",
		TTL: new(90 * time.Second), Idle: new(time.Minute), QueueTimeout: new(time.Duration(0)),
		NoQueue: true, NoPool: true, Vars: map[string]string{"CI": "1"}, Secrets: map[string][]byte{"key": {0, 1, 0xff}},
	}
	if diff := cmp.Diff([]service.Request{want, want}, r.engine.requests); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	at := noon.Add(time.Minute)
	wantQuote := wire.Quote{
		Blueprint:  wire.BlueprintRef{Name: "build", Version: "1.0.0", Digest: "sha256:00"},
		Size:       wire.Size{Name: "small", CPUs: 1, MemoryMiB: 1024, Pids: 512, RateMicrosPerHour: 3_600_000, Currency: "USD"},
		TTLSeconds: 3600, CostMicros: 3_600_000, Cold: "no pool keeps build@1.0.0 small", Rank: 2, ReadyAt: &at,
		Refusal: &wire.Problem{Title: "Too Many Requests", Status: 429, Code: "quota", Detail: "team core has 3 of 3 environments", Hint: "bothy down one"},
	}
	if diff := cmp.Diff(wantQuote, q); diff != "" {
		t.Errorf("quote (-want +got):\n%s", diff)
	}
	if strings.Contains(r.log.String(), "AAH/") {
		t.Error("a secret is in the log")
	}
}

func TestAnEnvironmentTellsPoolQueueAndIdleTime(t *testing.T) {
	claimed := leased("claimed")
	claimed.Pool, claimed.PullRequest, claimed.Host, claimed.Vars, claimed.SecretNames = "builders", "17", "rack1", map[string]string{"CI": "1"}, []string{"key"}
	claimed.Lease.Idle, claimed.Lease.ActiveAt, claimed.HeldMicros = 10*time.Minute, noon.Add(-time.Minute), 5
	waiting := leased("waiting")
	waiting.State, waiting.Lease.Start, waiting.Lease.End, waiting.Cold = fleet.Pending, time.Time{}, time.Time{}, "no pool keeps it"
	waiting.Queue = fleet.Queue{Rank: 3, Estimate: noon.Add(time.Minute), Until: noon.Add(time.Hour)}
	warm := leased("warm")
	warm.State, warm.Tenant, warm.Team, warm.Owner, warm.Pool, warm.Paused = fleet.Warm, "", "", "", "builders", true
	r := start(t, newDouble().add(claimed, waiting, warm))
	get := func(name string) wire.Environment {
		env, err := r.client().Get(limited(t), name)
		if err != nil {
			t.Fatal(err)
		}
		return env
	}
	at, until, idle := noon.Add(time.Minute), noon.Add(time.Hour), noon.Add(9*time.Minute)
	got := get("claimed")
	if !got.Claimed || got.Pool != "builders" || got.PullRequest != "17" || got.Host != "rack1" || got.Vars["CI"] != "1" || got.Secrets[0] != "key" || got.Queue != nil || got.Cost.HeldMicros != 5 {
		t.Errorf("claimed: %+v", got)
	}
	if got.Lease.IdleSeconds != 600 || got.Lease.IdleEnd == nil || !got.Lease.IdleEnd.Equal(idle) {
		t.Errorf("idle: %+v", got.Lease)
	}
	got = get("waiting")
	if diff := cmp.Diff(&wire.Queue{Rank: 3, Estimate: &at, Until: &until}, got.Queue); diff != "" || got.Claimed || got.Cold != "no pool keeps it" || got.Lease.IdleEnd != nil {
		t.Errorf("waiting: %+v (-want +got):\n%s", got, diff)
	}
	if got = get("warm"); got.Claimed || !got.Paused || got.Tenant != "" || got.Pool != "builders" {
		t.Errorf("warm: %+v", got)
	}
}

func TestPoolsQuotasAndRatesReachTheEngineAsTheyWereSet(t *testing.T) {
	r := start(t, newDouble())
	c := r.client()
	if _, err := c.SetPool(limited(t), "builders", wire.PoolRequest{
		Blueprint: "build", Size: "small", Inputs: map[string]any{"a": "1"}, Target: 3, Min: 1, Surge: 2, Pause: true,
		Schedule: []wire.ScheduledTarget{{Days: []string{"mon", "sun"}, From: "08:00", Until: "24:00", Target: 5}, {From: "22:15", Until: "06:00", Target: -1}}, Zone: "Europe/Berlin",
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SetPool(limited(t), "zoned", wire.PoolRequest{Blueprint: "build", Target: 1, Zone: "Europe/Berlin"}); client.CodeOf(err) != wire.CodeInvalid {
		t.Errorf("a zone without a schedule: %v", err)
	}
	if _, err := c.SetPool(limited(t), "big", wire.PoolRequest{Blueprint: "build", Target: math.MaxInt64, Surge: math.MaxInt64, Max: new(int64(-7))}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SetPool(limited(t), "big", wire.PoolRequest{Blueprint: "build", Target: math.MaxInt64, Surge: math.MaxInt64}); err != nil {
		t.Fatal(err)
	}
	for _, most := range []*int64{nil, new(int64(0))} {
		if _, err := c.SetPool(limited(t), "tight", wire.PoolRequest{Blueprint: "build", Target: 2, Min: 2, Max: most}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]any{
		fleet.Pool{
			Name: "builders", Blueprint: "build", Size: "small", Inputs: map[string]any{"a": "1"}, Target: 3, Min: 1, Max: 7, Surge: 2, Pause: true,
			Schedule: []fleet.ScheduledTarget{{Days: []time.Weekday{time.Monday, time.Sunday}, From: 480, Until: 1440, Target: 5, Zone: "Europe/Berlin"}, {From: 1335, Until: 360, Target: -1, Zone: "Europe/Berlin"}},
		},
		fleet.Pool{Name: "big", Blueprint: "build", Target: math.MaxInt64, Surge: math.MaxInt64, Max: -7},
		fleet.Pool{Name: "big", Blueprint: "build", Target: math.MaxInt64, Surge: math.MaxInt64, Max: math.MaxInt64},
		fleet.Pool{Name: "tight", Blueprint: "build", Target: 2, Min: 2, Max: 3},
		fleet.Pool{Name: "tight", Blueprint: "build", Target: 2, Min: 2},
	}, r.engine.calls["SetPool"]); diff != "" {
		t.Errorf("pools (-want +got):\n%s", diff)
	}

	limits := wire.Limits{Environments: new(int64(0)), MilliCPUs: new(int64(500)), MicrosPerDay: new(int64(math.MaxInt64)), MaxTTLSeconds: new(int64(90)), Sizes: []string{"small"}}
	for _, scope := range []string{"acme", "acme/team/core", "acme/user/ada@example.com"} {
		if got, err := c.SetQuota(limited(t), scope, limits); err != nil || got.Scope != scope {
			t.Errorf("quota of %s: %+v, %v", scope, got, err)
		} else if diff := cmp.Diff(limits, got.Limits); diff != "" {
			t.Errorf("limits of %s (-want +got):\n%s", scope, diff)
		}
	}
	for _, scope := range []string{"acme/core", "acme/team/", "/team/core", "acme/pool/x", "a/team/b/c"} {
		if _, err := c.Quota(limited(t), scope); client.CodeOf(err) != wire.CodeInvalid {
			t.Errorf("scope %q: %v", scope, err)
		}
	}

	from := noon.Add(time.Hour)
	if got, err := c.SetRate(limited(t), "build", "small", wire.RateRequest{MicrosPerHour: math.MaxInt64, Currency: "EUR", From: &from}); err != nil || got.MicrosPerHour != math.MaxInt64 || !got.From.Equal(from) {
		t.Errorf("rate %+v, %v", got, err)
	}
	if diff := cmp.Diff([]any{fleet.Rate{Blueprint: "build", Size: "small", From: from, Micros: math.MaxInt64, Currency: "EUR"}}, r.engine.calls["SetRate"]); diff != "" {
		t.Errorf("rate (-want +got):\n%s", diff)
	}
	for _, path := range []string{"/v1/pools/x", "/v1/quotas/x", "/v1/rates/a/b"} {
		for _, body := range []string{`{"target":1e400,"blueprint":"b","min":0,"surge":0,"pause":false}`, `{"environments":1.5}`, `{"micros_per_hour":9223372036854775808}`, `{"micros_per_hour":NaN}`, `{"target":"3"}`} {
			if resp, text := r.raw("PUT", path, strings.NewReader(body)); resp.StatusCode != 422 && resp.StatusCode != 400 {
				t.Errorf("%s %s: %d %s", path, body, resp.StatusCode, text)
			}
		}
	}
}

func TestThePlatformsAnswersAreToldWhole(t *testing.T) {
	d := newDouble().add(leased("otter"))
	r := start(t, d)
	c := r.client()
	check := func(what string, want, got any, err error) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
		}
	}
	pools, err := c.Pools(limited(t))
	pool := wire.Pool{
		Name: "builders", Blueprint: "build", Target: 3, Max: 4, Schedule: []wire.ScheduledTarget{{Days: []string{"mon", "fri"}, From: "08:00", Until: "24:00", Target: 5}},
		Digest: "sha256:00", TargetNow: 5, Warm: 2, Stale: 1, Making: 1, Stuck: "no host has room", StuckHint: "make room", UpdatedAt: noon,
	}
	check("pools", []wire.Pool{pool}, pools, err)
	resumed, err := c.ResumePool(limited(t), "builders")
	check("resumed pool", pool, resumed, err)
	check("removed pool", nil, nil, c.RemovePool(limited(t), "builders"))
	check("removed pool", []any{"builders"}, d.calls["RemovePool"], nil)

	q, err := c.Quota(limited(t), "default/team/core")
	check("quota", wire.Quota{
		Scope: "default/team/core", Limits: wire.Limits{Environments: new(int64(3)), MaxTTLSeconds: new(int64(5400)), Sizes: []string{"small"}},
		Usage: wire.Usage{Environments: 2, MilliCPUs: 2000, MemoryMiB: 2048, SecondsToday: 60, MicrosToday: 5, MicrosThisMonth: 6},
	}, q, err)
	quotas, err := c.Quotas(limited(t))
	check("quotas", []wire.Quota{{Scope: "default"}}, quotas, err)
	rates, err := c.Rates(limited(t))
	check("rates", []wire.Rate{{Blueprint: "build", Size: "small", From: noon, MicrosPerHour: 10_000, Currency: "USD", SetBy: "ada"}}, rates, err)

	since, until := noon.Add(-time.Hour), noon
	cost, err := c.Cost(limited(t), "team", since, until)
	row := wire.CostRow{Key: "ada", Currency: "USD", LeasedMicros: 1, PoolMicros: 2, ProvisioningMicros: 3, FailedMicros: 4, DestroyingMicros: 5, TotalMicros: 15, Seconds: 60}
	check("cost", wire.CostReport{By: "team", Since: &since, Until: &until, Rows: []wire.CostRow{row}, Total: row}, cost, err)

	why, err := c.Why(limited(t), "otter")
	if err != nil || why.Cause != "it waits for capacity" || why.Next != "bothy ls" || why.Rank != 1 || !why.ReadyAt.Equal(noon.Add(time.Minute)) || len(why.Events) != 1 ||
		why.Environment.Name != "otter" || why.Estimates != (wire.Estimates{Count: 3, MedianSeconds: 2, P90Seconds: 5}) {
		t.Errorf("why: %+v, %v", why, err)
	}
	receipt, err := c.Receipt(limited(t), "otter")
	want := wire.Receipt{Seq: 7, Environment: "id-otter", At: noon, Body: []byte(`{"a":1}`), PrevHash: "00", Hash: "11", Signature: "c2ln"}
	check("receipt", want, receipt, err)
	receipts, err := c.Receipts(limited(t), 6)
	first, second := want, want
	first.Environment, second.Seq, second.Environment = "e1", 8, "e2"
	check("receipts", []wire.Receipt{first, second}, receipts, err)
	check("page of receipts", []any{int64(6), 100}, d.calls["Receipts"], nil)
	key, err := c.ReceiptKey(limited(t))
	check("key", wire.ReceiptKey{Algorithm: "ed25519", Key: []byte("the public key")}, key, err)
	hosts, err := c.Hosts(limited(t))
	check("hosts", []wire.Host{{Name: "local", SeenAt: &noon}}, hosts, err)
	for _, drained := range []bool{true, false} {
		h, err := c.DrainHost(limited(t), "local", drained)
		check("drained host", wire.Host{Name: "local", Drained: drained, Daemon: "d1.p1", Used: wire.Capacity{Environments: 2}}, h, err)
	}
	brake, err := c.Brake(limited(t))
	check("brake", wire.Brake{On: true, Since: &noon, Reason: "the clock jumped", Live: 8, Reaped: 2}, brake, err)
	brake, err = c.ReleaseBrake(limited(t))
	check("released brake", wire.Brake{}, brake, err)
	if env, err := c.Touch(limited(t), "otter"); err != nil || d.envs["otter"].Lease.ActiveAt != noon {
		t.Errorf("touched: %+v, %v", env.Lease, err)
	}
}

// No ids mean all to the engine; a client that forgot them must not have everything removed.
func TestAllOrphansMustBeSaid(t *testing.T) {
	d := newDouble()
	r := start(t, d)
	c := r.client()
	for _, decide := range []func(wire.OrphanRequest) (wire.OrphanReport, error){
		func(o wire.OrphanRequest) (wire.OrphanReport, error) { return c.AdoptOrphans(limited(t), o) },
		func(o wire.OrphanRequest) (wire.OrphanReport, error) { return c.PurgeOrphans(limited(t), o) },
	} {
		for _, wrong := range []wire.OrphanRequest{{}, {Environments: []string{"e1"}, All: true}} {
			if _, err := decide(wrong); client.CodeOf(err) != wire.CodeInvalid {
				t.Errorf("%+v: %v", wrong, err)
			}
		}
		for _, right := range []wire.OrphanRequest{{All: true}, {Environments: []string{"e1"}}} {
			if got, err := decide(right); err != nil || !got.Safe || got.Orphans[0].Environment != "e1" {
				t.Errorf("%+v: %+v, %v", right, got, err)
			}
		}
	}
	want := []any{[]string(nil), []string{"e1"}}
	for _, call := range []string{"AdoptOrphans", "PurgeOrphans"} {
		if diff := cmp.Diff(want, d.calls[call]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", call, diff)
		}
	}
}

func TestEventsAreSelectedAndFollowed(t *testing.T) {
	d := newDouble().add(leased("otter"))
	r := start(t, d)
	c := r.client()
	o := client.EventOptions{Environment: "otter", Pool: "builders", Host: "local", After: 3}
	if es, err := c.NewestEvents(limited(t), o, 7); err != nil || len(es) != 2 {
		t.Errorf("newest: %+v, %v", es, err)
	}
	want := service.EventQuery{Environment: "otter", Pool: "builders", Host: "local", After: 3, Limit: 7, Newest: true}
	if diff := cmp.Diff([]service.EventQuery{want}, d.queries); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
	var seen []int64
	if err := c.FollowEvents(limited(t), client.EventOptions{After: 2}, func(e wire.Event) error {
		seen = append(seen, e.Seq)
		return nil
	}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]int64{3, 4, 5}, seen); diff != "" {
		t.Errorf("followed (-want +got):\n%s", diff)
	}
	if err := c.FollowEvents(limited(t), client.EventOptions{Environment: "nix"}, func(wire.Event) error { return nil }); client.CodeOf(err) != wire.CodeNotFound {
		t.Errorf("of one that is not there: %v", err)
	}
	stop := &client.Error{Code: wire.CodeUnavailable, Sentence: "the receiver's own"}
	calls := 0
	if err := c.FollowEvents(limited(t), client.EventOptions{}, func(wire.Event) error { calls++; return stop }); !errors.Is(err, stop) || calls != 1 {
		t.Errorf("the receiver's error came back as %v after %d calls", err, calls)
	}
}

// Over the socket the kernel's word counts, and the file says what it means.
func TestTheSocketsPeerIsLookedUpInTheFile(t *testing.T) {
	_, people := withPeople(t)
	r := start(t, newDouble(), people)
	_, err := r.client().List(limited(t), client.ListOptions{})
	if known := me(t) == "root"; known != (err == nil) || (!known && client.CodeOf(err) != wire.CodePolicy) {
		t.Errorf("%s: %v", me(t), err)
	}
	if resp, _ := r.raw(http.MethodGet, "/healthz", nil); resp.StatusCode != 200 {
		t.Errorf("healthz: %d", resp.StatusCode)
	}
}
