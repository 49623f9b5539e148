package daemon_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/internal/store"
)

func (b *bench) cost(who fleet.Identity, q service.CostQuery) service.CostReport {
	b.t.Helper()
	report, err := b.engine.Costs.Report(b.t.Context(), who, q)
	if err != nil {
		b.t.Fatal(err)
	}
	return report
}

// TestCostCountsWhatIsOpen: cost grows while an environment lives, and what is booked and what is open add up.
func TestCostCountsWhatIsOpen(t *testing.T) {
	b := setup(t, patient).run()
	b.pool("builders", 1)
	warm := b.untilWarm(1)[0]
	b.pass(10 * time.Second)
	if got := b.cost(platform, service.CostQuery{By: "pool"}); got.Total.Pool != 10_000 || got.Rows[0].Key != "builders" {
		t.Errorf("10 s in the pool: %+v", got)
	}
	env := b.untilState(b.acquire().ID, fleet.Leased)
	if env.ID != warm.ID {
		t.Fatal("it was not claimed")
	}
	b.pass(20 * time.Second)
	open := b.cost(ann, service.CostQuery{By: "user"})
	if len(open.Rows) != 1 || open.Rows[0].Key != "ann" || open.Rows[0].Leased != 20_000 || open.Total.Pool != 0 || open.Total.Seconds != 20 {
		t.Errorf("ann's 20 s: %+v", open)
	}
	if err := b.engine.Pools.Remove(t.Context(), platform, "builders"); err != nil {
		t.Fatal(err)
	}
	b.release(env.ID)
	waitUntil(t, "the pool is gone", func() bool {
		b.pass(time.Second)
		live, err := b.db.Live(t.Context())
		return err == nil && len(live) == 0
	})
	closed := b.cost(ann, service.CostQuery{By: "environment"})
	if closed.Rows[0].Key != env.ID || closed.Total.Leased != 20_000 {
		t.Errorf("after its end: %+v", closed)
	}
	b.pass(time.Hour)
	if later := b.cost(ann, service.CostQuery{By: "environment"}); later.Total != closed.Total {
		t.Errorf("what is gone costs %+v an hour later, %+v before", later.Total, closed.Total)
	}
	b.oracles()
}

// TestCostIsTheTenants: members see their tenant's, the platform team everybody's.
func TestCostIsTheTenants(t *testing.T) {
	b := setup(t, patient).run()
	b.untilState(b.acquire().ID, fleet.Leased)
	b.untilState(b.acquire(func(r *service.Request) { r.Who = stranger }).ID, fleet.Leased)
	b.pass(10 * time.Second)
	if got := b.cost(ann, service.CostQuery{By: "user"}); len(got.Rows) != 1 || got.Rows[0].Key != "ann" {
		t.Errorf("ann sees %+v", got.Rows)
	}
	if got := b.cost(platform, service.CostQuery{By: "tenant"}); len(got.Rows) != 2 || got.Total.Leased != 20_000 {
		t.Errorf("the platform team sees %+v", got)
	}
}

// TestCostOfATime: what was before and after does not count.
func TestCostOfATime(t *testing.T) {
	b := setup(t, patient).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	start := env.BilledFrom
	b.pass(time.Minute)
	b.release(env.ID)
	q := service.CostQuery{By: "day", Since: start.Add(10 * time.Second), Until: start.Add(30 * time.Second)}
	if got := b.cost(ann, q); got.Total.Total != 20_000 || got.Rows[0].Key != "2026-05-06" {
		t.Errorf("20 s in the middle cost %+v", got)
	}
	if got := b.cost(ann, service.CostQuery{By: "day", Since: b.clock.Now()}); got.Total.Total != 0 {
		t.Errorf("nothing lives, and it cost %+v", got)
	}
	_, err := b.engine.Costs.Report(t.Context(), ann, service.CostQuery{By: "moon"})
	wantCode(t, err, fleet.CodeInvalid)
	_, err = b.engine.Costs.Report(t.Context(), ann, service.CostQuery{By: "day", Since: start, Until: start.Add(-1)})
	wantCode(t, err, fleet.CodeInvalid)
}

// TestCostNeverFallsWhileItIsBooked: whoever asks while rows are booked counts nothing twice and misses nothing.
func TestCostNeverFallsWhileItIsBooked(t *testing.T) {
	b := setup(t, patient).run()
	var ids []string
	for range 4 {
		ids = append(ids, b.untilState(b.acquire().ID, fleet.Leased).ID)
	}
	b.pass(time.Hour - time.Second)
	before := b.cost(platform, service.CostQuery{}).Total.Total
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			report, err := b.engine.Costs.Report(context.WithoutCancel(ctx), platform, service.CostQuery{})
			if err != nil {
				t.Error(err)
				return
			}
			if report.Total.Total != before {
				t.Errorf("it is %d while the clock stands, it was %d", report.Total.Total, before)
				return
			}
		}
	}()
	for _, id := range ids {
		if _, err := b.engine.Release(t.Context(), ann, id); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range ids {
		b.untilState(id, fleet.Destroyed)
	}
	cancel()
	<-done
}

// TestRates: a price holds for what is admitted from its moment on.
func TestRates(t *testing.T) {
	b := setup(t, patient)
	rate := fleet.Rate{Blueprint: "build", Size: "small", Micros: 7_200_000, Currency: "USD"}
	before := b.acquire()
	got, err := b.engine.Costs.SetRate(t.Context(), platform, rate)
	if err != nil || !got.From.Equal(b.clock.Now()) || got.SetBy != "pat" {
		t.Fatalf("%+v, %v", got, err)
	}
	if after := b.acquire(); before.Size.RateMicros != 3_600_000 || after.Size.RateMicros != 7_200_000 {
		t.Errorf("before at %d, after at %d", before.Size.RateMicros, after.Size.RateMicros)
	}
	for name, change := range map[string]func(*fleet.Rate){
		"a negative price":     func(r *fleet.Rate) { r.Micros = -1 },
		"a price beyond sense": func(r *fleet.Rate) { r.Micros = math.MaxInt64 },
		"no currency":          func(r *fleet.Rate) { r.Currency = "" },
		"a word for one":       func(r *fleet.Rate) { r.Currency = "usd" },
		"another currency":     func(r *fleet.Rate) { r.Currency = "EUR" },
		"no size":              func(r *fleet.Rate) { r.Size = "" },
		"an unknown size":      func(r *fleet.Rate) { r.Size = "huge" },
		"a version":            func(r *fleet.Rate) { r.Blueprint = "build@1.0.0" },
		"a time that is over":  func(r *fleet.Rate) { r.From = b.clock.Now().Add(-time.Hour) },
	} {
		r := rate
		change(&r)
		if _, err := b.engine.Costs.SetRate(t.Context(), platform, r); fleet.CodeOf(err) != fleet.CodeInvalid {
			t.Errorf("%s: %v, want it refused", name, err)
		}
	}
	_, err = b.engine.Costs.SetRate(t.Context(), platform, fleet.Rate{Blueprint: "nope", Size: "small", Currency: "USD"})
	wantCode(t, err, fleet.CodeNotFound)
	if all, err := b.engine.Costs.Rates(t.Context(), ann); err != nil || len(all) != 1 {
		t.Errorf("%d rates (%v), want the one that was set", len(all), err)
	}
}

// TestQuotas: members see their own, and one below what is used kills nothing.
func TestQuotas(t *testing.T) {
	b := setup(t, patient).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	tenant := fleet.Scope{Kind: fleet.ScopeTenant, Tenant: ann.Tenant}
	none := fleet.Limits{Environments: new(int64(0))}
	got, err := b.engine.Quotas.Set(t.Context(), platform, fleet.Quota{Scope: tenant, Limits: none})
	if err != nil || got.Usage.Environments != 1 || *got.Limits.Environments != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	_, err = b.engine.Acquire(t.Context(), service.Request{Who: bob})
	wantCode(t, err, fleet.CodeQuota)
	if now := b.get(env.ID); now.State != fleet.Leased {
		t.Errorf("a limit below what is used ended it: %s", now.State)
	}
	for who, want := range map[string]int{"ann": 1, "eve": 0, "pat": 1} {
		all, err := b.engine.Quotas.List(t.Context(), map[string]fleet.Identity{"ann": ann, "eve": stranger, "pat": platform}[who])
		if err != nil || len(all) != want {
			t.Errorf("%s sees %d quotas (%v), want %d", who, len(all), err, want)
		}
	}
	_, err = b.engine.Quotas.Get(t.Context(), stranger, tenant)
	wantCode(t, err, fleet.CodeNotFound)
	for name, q := range map[string]fleet.Quota{
		"a negative limit":        {Scope: tenant, Limits: fleet.Limits{Environments: new(int64(-1))}},
		"money beyond sense":      {Scope: tenant, Limits: fleet.Limits{MicrosPerDay: new(int64(math.MaxInt64))}},
		"a scope of no kind":      {Scope: fleet.Scope{Tenant: "acme"}},
		"a tenant with a name":    {Scope: fleet.Scope{Kind: fleet.ScopeTenant, Tenant: "acme", Name: "x"}},
		"a team without one":      {Scope: fleet.Scope{Kind: fleet.ScopeTeam, Tenant: "acme"}},
		"a user of no tenant":     {Scope: fleet.Scope{Kind: fleet.ScopeUser, Name: "ann"}},
		"a name that holds a way": {Scope: fleet.Scope{Kind: fleet.ScopeTeam, Tenant: "acme/team", Name: "x"}},
	} {
		if _, err := b.engine.Quotas.Set(t.Context(), platform, q); fleet.CodeOf(err) != fleet.CodeInvalid {
			t.Errorf("%s: %v, want it refused", name, err)
		}
	}
	// Limits that do not limit take it away again.
	if _, err := b.engine.Quotas.Set(t.Context(), platform, fleet.Quota{Scope: tenant}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.engine.Acquire(t.Context(), service.Request{Who: bob}); err != nil {
		t.Errorf("without limits: %v", err)
	}
}

// TestWhatWasSetIsRecorded: the record of a limit or a price says what it became and what it was.
func TestWhatWasSetIsRecorded(t *testing.T) {
	b := setup(t)
	team := fleet.Scope{Kind: fleet.ScopeTeam, Tenant: ann.Tenant, Name: ann.Team}
	for _, l := range []fleet.Limits{
		{Environments: ptr(int64(5)), MicrosPerDay: ptr(int64(2_500_000))},
		{Environments: ptr(int64(7)), MicrosPerDay: ptr(int64(2_500_000)), Sizes: []string{"small"}},
		{},
	} {
		if _, err := b.engine.Quotas.Set(t.Context(), platform, fleet.Quota{Scope: team, Limits: l}); err != nil {
			t.Fatal(err)
		}
	}
	for _, micros := range []int64{7_200_000, 7_500_000} {
		r := fleet.Rate{Blueprint: "build", Size: "small", Micros: micros, Currency: "USD"}
		if _, err := b.engine.Costs.SetRate(t.Context(), platform, r); err != nil {
			t.Fatal(err)
		}
	}
	events, err := b.db.EventsBy(t.Context(), store.EventFilter{})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, ev := range events {
		said = append(said, ev.Kind+": "+ev.Message)
	}
	const limits, price = "quota.set: pat set the limits of default/team/default: ", "rate.set: pat set the price of build small from 2026-05-06T07:08:09Z on: "
	want := []string{
		limits + "environments 5 (was no limit), money a day 2.50 (was no limit)",
		limits + "environments 7 (was 5), sizes small (was any)",
		limits + "environments no limit (was 7), money a day no limit (was 2.50), sizes any (was small)",
		price + "7.20 USD an hour (was 3.60 USD)",
		price + "7.50 USD an hour (was 7.20 USD)",
	}
	if !slices.Equal(said, want) {
		t.Errorf("recorded:\n%s\nwant:\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
	}
}
