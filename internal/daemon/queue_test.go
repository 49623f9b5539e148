package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// narrow lets one host hold one environment.
func narrow(c *daemon.Config) { c.Hosts[0].Capacity = provisioner.Capacity{Environments: 1} }

func ptr[T any](v T) *T { return &v }

func TestQueueTellsRankEstimateAndReason(t *testing.T) {
	b := setup(t, brisk, narrow).run().served()
	first := b.untilState(b.acquire().ID, fleet.Leased)
	second := b.acquire()
	b.clock.advance(time.Second)
	third := b.acquire()
	b.clock.advance(2 * time.Second)
	row := b.until(third.ID, "second in the queue", func(e fleet.Environment) bool { return e.Queue.Rank == 2 && !e.Queue.First.IsZero() })
	if row.Reason == "" {
		t.Error("it waits without a reason")
	}
	row = b.until(second.ID, "first in the queue", func(e fleet.Environment) bool { return e.Queue.Rank == 1 && !e.Queue.First.IsZero() })
	if off := row.Queue.Estimate.Sub(first.Lease.End); off < 0 || off > time.Minute {
		t.Errorf("expected at %s, want soon after the lease's end at %s", row.Queue.Estimate, first.Lease.End)
	}
	why, err := b.engine.Why(t.Context(), ann, second.Name)
	if err != nil || why.Rank != 1 || why.ReadyAt.IsZero() || !strings.Contains(why.Cause, row.Reason) || why.Next == "" || len(why.Events) == 0 {
		t.Errorf("why: %+v, %v", why, err)
	}
	if _, err := b.engine.Release(t.Context(), ann, first.ID); err != nil {
		t.Fatal(err)
	}
	ready := b.untilState(second.ID, fleet.Leased)
	if ready.Queue.Rank != 0 {
		t.Errorf("it is ready and has rank %d", ready.Queue.Rank)
	}
	if got, err := b.db.Estimates(t.Context()); err != nil || got.Count != 1 || got.Median < 30*time.Minute {
		t.Errorf("estimates %+v (%v), want one that was off by the lease that was given back", got, err)
	}
}

func TestQueueTimeoutGivesUp(t *testing.T) {
	b := setup(t, brisk, narrow).run().served()
	b.untilState(b.acquire().ID, fleet.Leased)
	env := b.acquire(func(r *service.Request) { r.QueueTimeout = ptr(5 * time.Minute); withCanary(r) })
	b.until(env.ID, "waiting", func(e fleet.Environment) bool { return e.Queue.Rank == 1 })
	b.clock.advance(5*time.Minute - time.Second)
	b.until(env.ID, "still waiting", func(e fleet.Environment) bool { return e.State == fleet.Pending })
	b.clock.advance(time.Second)
	gone := b.untilState(env.ID, fleet.Destroyed)
	if gone.Failure == nil || gone.Failure.Code != fleet.CodeQuota || !strings.HasPrefix(gone.Failure.Sentence, "gave up waiting after 5m0s") {
		t.Errorf("failure %+v", gone.Failure)
	}
	if kept, err := b.db.Secrets(t.Context(), env.ID); err != nil || kept != nil {
		t.Errorf("its secrets are kept: %d bytes (%v)", len(kept), err)
	}
	why, err := b.engine.Why(t.Context(), ann, env.ID)
	if err != nil || !strings.Contains(why.Cause, "gave up waiting") {
		t.Errorf("why: %+v, %v", why.Cause, err)
	}
}

func TestNoQueueIsRefusedAtOnce(t *testing.T) {
	b := setup(t, brisk, narrow).run().served()
	held := b.untilState(b.acquire(func(r *service.Request) { r.IdempotencyKey, r.NoQueue = "k", true }).ID, fleet.Leased)
	for name, change := range map[string]func(*service.Request){
		"--no-queue":         func(r *service.Request) { r.NoQueue = true },
		"--queue-timeout 0s": func(r *service.Request) { r.QueueTimeout = ptr(time.Duration(0)) },
	} {
		_, err := b.request(change)
		wantCode(t, err, fleet.CodeQuota)
		if e, ok := errors.AsType[*fleet.Error](err); !ok || !strings.Contains(e.Sentence, "it would have to wait, as number 1") || !strings.Contains(e.Hint, "--no-queue") {
			t.Errorf("%s: %+v", name, e)
		}
	}
	// A retry is no new request, whether there is room or not.
	again, err := b.request(func(r *service.Request) { r.IdempotencyKey, r.NoQueue = "k", true })
	if err != nil || !again.Existed || again.Env.ID != held.ID {
		t.Errorf("the retry gave %+v, %v", again, err)
	}
	if live, err := b.db.Live(t.Context()); err != nil || len(live) != 1 {
		t.Errorf("%d rows (%v), want 1", len(live), err)
	}
	_, err = b.request(func(r *service.Request) { r.QueueTimeout = ptr(-time.Second) })
	wantCode(t, err, fleet.CodeInvalid)
}

func TestNoQueueTakesAWarmOneThatIsThere(t *testing.T) {
	b := setup(t, brisk, narrow)
	warm := b.stopped(1)[0]
	got, err := b.request(func(r *service.Request) { r.NoQueue = true })
	if err != nil || !got.Claimed || got.Env.ID != warm.ID {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestOverQuotaTellsWhatAndWhoHoldsIt(t *testing.T) {
	b := setup(t)
	set := func(s fleet.Scope, l fleet.Limits) {
		t.Helper()
		if err := b.db.SetQuota(t.Context(), fleet.Quota{Scope: s, Limits: l}, func(fleet.Limits) fleet.Event { return fleet.Event{Kind: "quota.set"} }); err != nil {
			t.Fatal(err)
		}
	}
	team := fleet.Scope{Kind: fleet.ScopeTeam, Tenant: ann.Tenant, Name: ann.Team}
	set(team, fleet.Limits{Environments: ptr(int64(6))})
	for i := range 6 {
		b.acquire(func(r *service.Request) { r.Name = fmt.Sprintf("held-%d", i) })
		b.clock.advance(time.Second)
	}
	_, err := b.request()
	wantCode(t, err, fleet.CodeQuota)
	want := "over the quota of team default: environments: asked 1, used 6, allowed 6; held by " +
		"held-0 (ann), held-1 (ann), held-2 (ann), held-3 (ann), held-4 (ann), and others"
	if err.Error() != want {
		t.Errorf("refused with %q, want %q", err, want)
	}
	q, err := b.engine.Quote(t.Context(), service.Request{Who: ann})
	if err != nil || q.Refusal == nil || q.Refusal.Sentence != want {
		t.Errorf("the quote's refusal is %+v (%v)", q.Refusal, err)
	}
	// Others are not bound by it.
	if _, err := b.engine.Acquire(t.Context(), service.Request{Who: bob}); err != nil {
		t.Errorf("bob's team: %v", err)
	}
	set(team, fleet.Limits{Sizes: []string{"tiny"}})
	_, err = b.request()
	wantCode(t, err, fleet.CodePolicy)
	if strings.Contains(err.Error(), "held by") {
		t.Errorf("nobody holds what is never allowed: %q", err)
	}
}

// TestHoldsMoneyInFlight: requests that run may not overshoot a budget together.
func TestHoldsMoneyInFlight(t *testing.T) {
	b := setup(t)
	user := fleet.Scope{Kind: fleet.ScopeUser, Tenant: ann.Tenant, Name: ann.User}
	// The small size costs 3.6 an hour.
	if err := b.db.SetQuota(t.Context(), fleet.Quota{Scope: user, Limits: fleet.Limits{MicrosPerDay: ptr(int64(10_000_000))}}, func(fleet.Limits) fleet.Event { return fleet.Event{Kind: "quota.set"} }); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b.acquire()
	}
	_, err := b.request()
	wantCode(t, err, fleet.CodeQuota)
	if env := b.acquire(func(r *service.Request) { r.TTL = ptr(30 * time.Minute) }); env.HeldMicros != 1_800_000 {
		t.Errorf("it holds %d, want 1800000", env.HeldMicros)
	}
}

// TestBudgetHoldsToTheCent: one that outlives its lease costs more than was held for it. The ledger says so; the budget that
// it was admitted within has room for as many as before.
func TestBudgetHoldsToTheCent(t *testing.T) {
	b := setup(t, patient).run()
	b.limit(fleet.Limits{MicrosPerDay: ptr(int64(7_200_000)), SecondsPerDay: ptr(int64(2 * 3600))}) // two leases of an hour
	env := b.untilState(b.acquire().ID, fleet.Leased)
	b.pass(time.Hour + 40*time.Second)
	b.untilState(env.ID, fleet.Destroyed)
	if got := b.cost(ann, service.CostQuery{By: "user"}); got.Total.Total < 3_640_000 || got.Total.Seconds < 3640 {
		t.Errorf("the ledger has %+v, want every second that it was there", got.Total)
	}
	used, err := b.engine.Quotas.Get(t.Context(), ann, fleet.Scope{Kind: fleet.ScopeTeam, Tenant: ann.Tenant, Name: ann.Team})
	if err != nil || used.Usage.MicrosToday != 3_600_000 || used.Usage.MicrosThisMonth != 3_600_000 || used.Usage.SecondsToday != 3600 {
		t.Errorf("%+v counts (%v), want what was held", used.Usage, err)
	}
	b.acquire()
	_, err = b.request(func(r *service.Request) { r.TTL = ptr(time.Second) })
	wantCode(t, err, fleet.CodeQuota)
	b.oracles()
}

// TestRefusalSaysWhoSpent: money and hours that are spent on what is gone have a name too, and an extension is told the same.
func TestRefusalSaysWhoSpent(t *testing.T) {
	b := setup(t, patient).run()
	tenant := fleet.Scope{Kind: fleet.ScopeTenant, Tenant: ann.Tenant}
	limit := func(l fleet.Limits) {
		t.Helper()
		if _, err := b.engine.Quotas.Set(t.Context(), platform, fleet.Quota{Scope: tenant, Limits: l}); err != nil {
			t.Fatal(err)
		}
	}
	over := func(err error, sentence, hint string) {
		t.Helper()
		refused, ok := errors.AsType[*fleet.Error](err)
		if !ok || refused.Code != fleet.CodeQuota || refused.Sentence != sentence || refused.Hint != hint {
			t.Errorf("refused with %v\n%#v\nwant %s (%s)", err, refused, sentence, hint)
		}
	}
	gone := b.untilState(b.acquire().ID, fleet.Leased)
	b.pass(time.Hour + 40*time.Second)
	b.untilState(gone.ID, fleet.Destroyed)
	limit(fleet.Limits{MicrosPerDay: ptr(int64(1_000_000))})
	const raise = "ask the platform team to raise it: bothy quota set default --"
	_, err := b.request()
	over(err, "over the quota of tenant default: money a day: asked 3.60 USD, used 3.60 USD, allowed 1.00 USD; spent on what is gone: ann 3.60 USD",
		"delete what you do not need (bothy down NAME), wait until the day ends at 00:00 UTC and ask for a shorter lease then, or "+raise+"money-per-day N")
	limit(fleet.Limits{})
	mine := b.untilState(b.acquire(func(r *service.Request) { r.Who, r.Name = bob, "mine" }).ID, fleet.Leased)
	limit(fleet.Limits{SecondsPerDay: ptr(int64(2*3600 + 60))})
	_, err = b.engine.Extend(t.Context(), bob, mine.ID, 20*time.Minute)
	over(err, "over the quota of tenant default: leased time a day: asked 20m0s, used 2h0m0s, allowed 2h1m0s; "+
		"held by mine (bob) 1h0m0s; spent on what is gone: ann 1h0m0s", "extend it by less (1m0s is left), or "+raise+"hours-per-day N")
	limit(fleet.Limits{MaxTTL: new(time.Hour)})
	_, err = b.engine.Extend(t.Context(), bob, mine.ID, 20*time.Minute)
	wantCode(t, err, fleet.CodePolicy)
	if strings.Contains(err.Error(), "held by") {
		t.Errorf("nobody holds what is never allowed: %q", err)
	}
}

// TestExtensionCountsWhereItsRequestDid: an extension after midnight is of the day before, and so are those that are named.
func TestExtensionCountsWhereItsRequestDid(t *testing.T) {
	b := setup(t, patient).run()
	b.clock.advance(16*time.Hour + 30*time.Minute) // to 23:38
	mine := b.untilState(b.acquire(func(r *service.Request) { r.Name = "mine" }).ID, fleet.Leased)
	b.pass(40 * time.Minute)
	b.untilState(b.acquire(func(r *service.Request) { r.Name = "later" }).ID, fleet.Leased)
	b.limit(fleet.Limits{MicrosPerDay: ptr(int64(3_600_000))})
	_, err := b.engine.Extend(t.Context(), ann, mine.ID, time.Minute)
	want := "over the quota of team default: money a day: asked 0.06 USD, used 3.60 USD, allowed 3.60 USD; held by mine (ann) 3.60 USD"
	if err == nil || err.Error() != want {
		t.Errorf("refused with %v, want %s", err, want)
	}
}

func TestRateInForceIsThePlatformTeams(t *testing.T) {
	b := setup(t)
	warm := b.stopped(1)[0]
	if err := b.db.SetRate(t.Context(), fleet.Rate{Blueprint: "build", Size: "small", From: b.clock.Now(), Micros: 7_200_000, Currency: "EUR"}, func([]fleet.Rate) fleet.Event { return fleet.Event{Kind: "rate.set"} }); err != nil {
		t.Fatal(err)
	}
	q, err := b.engine.Quote(t.Context(), service.Request{Who: ann})
	if err != nil || q.Micros != 7_200_000 || q.Size.Currency != "EUR" || !q.Warm {
		t.Errorf("quote %+v, %v", q, err)
	}
	got, err := b.request()
	if err != nil || got.Env.ID != warm.ID || got.Env.Size.RateMicros != 7_200_000 || got.Env.HeldMicros != 7_200_000 {
		t.Errorf("claimed at %d, holding %d (%v)", got.Env.Size.RateMicros, got.Env.HeldMicros, err)
	}
}

func TestQuote(t *testing.T) {
	b := setup(t, brisk, narrow).run().served()
	quote := func(change ...func(*service.Request)) service.Quote {
		t.Helper()
		req := service.Request{Who: ann}
		for _, c := range change {
			c(&req)
		}
		q, err := b.engine.Quote(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	now := b.clock.Now()
	q := quote(func(r *service.Request) { r.TTL = ptr(2 * time.Hour) })
	if q.Micros != 7_200_000 || q.Warm || q.Cold != "no pool keeps build@1.0.0 small" || q.Rank != 0 || !q.ReadyAt.After(now) || q.TTL != 2*time.Hour {
		t.Errorf("cold, with room: %+v", q)
	}
	held := b.untilState(b.acquire().ID, fleet.Leased)
	if q = quote(); q.Rank != 1 || q.ReadyAt.Before(held.Lease.End) || q.Refusal != nil {
		t.Errorf("without room: %+v", q)
	}
	if q = quote(func(r *service.Request) { r.NoQueue = true }); q.Refusal == nil || q.Refusal.Code != fleet.CodeQuota {
		t.Errorf("without room or wish to wait: %+v", q)
	}
	_, err := b.engine.Quote(t.Context(), service.Request{Who: ann, Size: "huge"})
	wantCode(t, err, fleet.CodeInvalid)
	if live, err := b.db.Live(t.Context()); err != nil || len(live) != 1 {
		t.Errorf("%d rows (%v): a quote makes nothing", len(live), err)
	}
}

func TestWhy(t *testing.T) {
	b := setup(t, patient).run()
	why := func(id, cause string) {
		t.Helper()
		got, err := b.engine.Why(t.Context(), ann, id)
		if err != nil || !strings.Contains(got.Cause, cause) || got.Next == "" || len(got.Events) == 0 {
			t.Errorf("cause %q, next %q, %d events (%v); want a cause with %q", got.Cause, got.Next, len(got.Events), err, cause)
		}
	}
	hang := b.inject(fake.Hang(fake.OpCreate, fake.Half))
	env := b.acquire()
	b.reached(hang)
	why(env.ID, "it is being created on host local, a cold start: no pool keeps")
	if err := hang.Lift(); err != nil {
		t.Fatal(err)
	}
	b.untilState(env.ID, fleet.Leased)
	why(env.ID, "it is ready for use until")
	if _, err := b.engine.Why(t.Context(), stranger, env.ID); fleet.CodeOf(err) != fleet.CodeNotFound {
		t.Errorf("another tenant asked and got %v", err)
	}
	stuck := b.inject(fake.Hang(fake.OpDestroy, fake.Before))
	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	b.reached(stuck)
	why(env.ID, "it is being deleted: released by ann")
	if err := stuck.Lift(); err != nil {
		t.Fatal(err)
	}
	b.untilState(env.ID, fleet.Destroyed)
	why(env.ID, "it was deleted at")

	b.inject(fake.ExitAtOnce(3))
	failed := b.untilState(b.acquire().ID, fleet.Destroyed)
	why(failed.ID, "it failed: the container exited at once with code 3")
}

func TestLeaseThatIsLowIsTold(t *testing.T) {
	b := setup(t, brisk).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	b.clock.advance(30 * time.Second)
	for range 6 { // in steps, as no plan may see the time jump
		b.clock.advance(545 * time.Second)
	}
	b.until(env.ID, "warned", func(e fleet.Environment) bool { return e.Lease.Warned })
	waitUntil(t, "told once", func() bool { return strings.Count(b.events(env.ID), "lease.low") == 1 })
	why, err := b.engine.Why(t.Context(), ann, env.ID)
	if want := "for more time: bothy extend " + env.Name + " --by 30m"; err != nil || why.Next != want {
		t.Errorf("next %q, %v; want %q", why.Next, err, want)
	}
}

// TestPromiseBrake: after a long time without any plan, leases end slowly, and a person may let them go.
func TestPromiseBrake(t *testing.T) {
	b := setup(t, brisk).run()
	const all = 20
	ids := make([]string, all)
	for i := range ids {
		ids[i] = b.acquire(func(r *service.Request) { r.TTL = ptr(2 * time.Minute) }).ID
	}
	for _, id := range ids {
		b.untilState(id, fleet.Leased)
	}
	b.stop()
	b.clock.advance(24 * time.Hour)
	b.engine = b.newEngine("daemon-1.b", brisk)
	b.run()
	waitUntil(t, "the brake is on", func() bool {
		brake, err := b.engine.Brake.State(t.Context())
		return err == nil && brake.On()
	})
	leased := func() int {
		rows, _, err := b.db.List(t.Context(), store.Filter{States: []fleet.State{fleet.Leased}})
		if err != nil {
			t.Fatal(err)
		}
		return len(rows)
	}
	waitUntil(t, "the first went", func() bool { return leased() == all-all/4 })
	calls := b.world.Calls(fake.OpInventory)
	waitUntil(t, "some plans were made", func() bool { return b.world.Calls(fake.OpInventory) > calls+4 })
	if n := leased(); n != all-all/4 {
		t.Errorf("%d are leased, want %d: the brake lets a quarter go", n, all-all/4)
	}
	warned := false
	for _, c := range b.engine.CheckNow(t.Context()) {
		warned = warned || c.Name == "brake" && c.Status == service.Warning
	}
	if !warned {
		t.Error("the checks do not tell of the brake")
	}
	if brake, err := b.engine.Brake.Release(t.Context(), platform); err != nil || brake.On() {
		t.Fatalf("%+v, %v", brake, err)
	}
	waitUntil(t, "all went", func() bool { return leased() == 0 })
	events, err := b.db.Events(context.Background(), "", 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]int{}
	for _, ev := range events {
		told[ev.Kind]++
	}
	if told["brake.on"] != 1 || told["brake.released"] != 1 {
		t.Errorf("the record tells of the brake %d times, of its release %d times", told["brake.on"], told["brake.released"])
	}
}
