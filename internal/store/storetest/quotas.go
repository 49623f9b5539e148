package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store"
)

func quotas(t *testing.T, open Open) {
	t.Run("set, listed, removed", func(t *testing.T) { quotaRecords(t, open(t)) })
	t.Run("what a decision is given", func(t *testing.T) { decisionGiven(t, open(t)) })
	t.Run("200 requests for 10 slots", func(t *testing.T) { tenSlots(t, open(t)) })
	t.Run("a budget is not overshot by requests in flight", func(t *testing.T) { budget(t, open(t)) })
	t.Run("an extension waits for a decision", func(t *testing.T) { extensionWaits(t, open(t)) })
	t.Run("limits of all kinds at once", func(t *testing.T) { mixedLimits(t, open(t)) })
	t.Run("holders", func(t *testing.T) { holders(t, open(t)) })
	t.Run("spenders", func(t *testing.T) { spenders(t, open(t)) })
}

// limit sets the limits of a scope.
func limit(t tb, s *store.Store, scope fleet.Scope, l fleet.Limits) {
	t.Helper()
	q := fleet.Quota{Scope: scope, Limits: l, UpdatedAt: base, UpdatedBy: "root"}
	setQuota(t, s, q)
}

// setQuota gives the limits that there were before.
func setQuota(t tb, s *store.Store, q fleet.Quota) (was fleet.Limits) {
	t.Helper()
	err := s.SetQuota(t.Context(), q, func(l fleet.Limits) fleet.Event {
		was = l
		return fleet.Event{Kind: "quota.set", Tenant: q.Scope.Tenant}
	})
	if err != nil {
		t.Fatalf("set quota of %s: %v", q.Scope, err)
	}
	return was
}

var (
	ofTenant = fleet.Scope{Kind: fleet.ScopeTenant, Tenant: "acme"}
	ofTeam   = fleet.Scope{Kind: fleet.ScopeTeam, Tenant: "acme", Name: "core"}
	ofUser   = fleet.Scope{Kind: fleet.ScopeUser, Tenant: "acme", Name: "ada"}
)

// errFull is how the suite's decision refuses.
var errFull = fleet.Errorf(fleet.CodeQuota, "full")

// room decides by how many there may be and what they may cost in a day.
func room(a store.Admission) func([]fleet.ScopeUsage) error {
	return func(scopes []fleet.ScopeUsage) error {
		for _, u := range scopes {
			if most := u.Limits.Environments; most != nil && u.Usage.Environments+1 > *most {
				return errFull
			}
			if most := u.Limits.MicrosPerDay; most != nil && u.Usage.MicrosToday+a.HeldMicros > *most {
				return errFull
			}
		}
		return nil
	}
}

func quotaRecords(t *testing.T, s *store.Store) {
	longest := 8 * time.Hour
	full := fleet.Limits{
		Environments: new(int64(1)), MilliCPUs: new(int64(0)), MemoryMiB: new(int64(3)), SecondsPerDay: new(int64(4)),
		MicrosPerDay: new(int64(5)), MicrosPerMonth: new(int64(1) << 62), MaxTTL: &longest,
		Blueprints: []string{"build"}, Sizes: []string{"small", "large"},
	}
	other := fleet.Scope{Kind: fleet.ScopeTenant, Tenant: "zeta"}
	limit(t, s, ofUser, full)
	limit(t, s, ofTenant, fleet.Limits{Environments: new(int64(7))})
	limit(t, s, other, full)
	limit(t, s, ofTenant, fleet.Limits{Environments: new(int64(8))})
	quota := func(scope fleet.Scope, l fleet.Limits) fleet.Quota {
		return fleet.Quota{Scope: scope, Limits: l, UpdatedAt: base, UpdatedBy: "root"}
	}
	list := func(tenant string, want ...fleet.Quota) {
		t.Helper()
		got, err := s.Quotas(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, want)
	}
	eight := quota(ofTenant, fleet.Limits{Environments: new(int64(8))})
	list("", eight, quota(ofUser, full), quota(other, full))
	list("acme", eight, quota(ofUser, full))
	limit(t, s, ofTenant, fleet.Limits{})
	limit(t, s, ofTeam, fleet.Limits{Blueprints: []string{}})
	list("acme", quota(ofUser, full))
	same(t, setQuota(t, s, quota(ofUser, full)), full)
	same(t, setQuota(t, s, quota(ofTeam, full)), fleet.Limits{})
	if all, err := s.EventsBy(t.Context(), store.EventFilter{Tenant: "acme"}); err != nil || len(all) != 7 {
		t.Fatalf("%d events, %v; want one for each time", len(all), err)
	}
}

func decisionGiven(t *testing.T, s *store.Store) {
	a := request(1)
	var given []fleet.ScopeUsage
	asked := 0
	a.Decide = func(scopes []fleet.ScopeUsage) error {
		given, asked = scopes, asked+1
		return nil
	}
	mustAcquire(t, s, a)
	if asked != 1 || len(given) != 0 {
		t.Fatalf("without limits: asked %d times, given %v", asked, given)
	}
	most := fleet.Limits{Environments: new(int64(9))}
	limit(t, s, ofUser, most)
	limit(t, s, ofTenant, most)
	next := request(2)
	next.Decide = a.Decide
	next.Env.CreatedAt = base.Add(24 * time.Hour) // another day of the same month
	mustAcquire(t, s, next)
	used := fleet.Usage{Environments: 1, MilliCPUs: 1500, MemoryMiB: 1024, MicrosThisMonth: 10_000}
	same(t, given, []fleet.ScopeUsage{
		{Scope: ofTenant, Limits: most, Usage: used}, {Scope: ofUser, Limits: most, Usage: used},
	})

	refused := request(3)
	own := errors.New("own error")
	refused.Decide = func([]fleet.ScopeUsage) error { return own }
	if _, err := s.Admit(t.Context(), refused); err != own { //nolint:errorlint // handed back as it is, not wrapped
		t.Fatalf("got %v, want %v itself", err, own)
	}
	if _, err := s.Get(t.Context(), refused.Env.ID); fleet.CodeOf(err) != fleet.CodeNotFound {
		t.Fatalf("a refused request left a row: %v", err)
	}
	mustAddUp(t, s)
	usage, err := s.UsageOf(t.Context(), []fleet.Scope{ofTeam, {Kind: fleet.ScopeUser, Tenant: "acme", Name: "nobody"}}, base)
	if err != nil {
		t.Fatal(err)
	}
	same(t, usage, []fleet.ScopeUsage{
		{Scope: ofTeam, Usage: fleet.Usage{
			Environments: 2, MilliCPUs: 3000, MemoryMiB: 2048, SecondsToday: 3600, MicrosToday: 10_000, MicrosThisMonth: 20_000,
		}},
		{Scope: fleet.Scope{Kind: fleet.ScopeUser, Tenant: "acme", Name: "nobody"}},
	})
}

// watch calls look again and again, beside what runs, until stop is called.
func watch(t *testing.T, look func(ctx context.Context) error) (stop func() (looks int)) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int)
	go func() {
		looks := 0
		for ; ctx.Err() == nil; looks++ {
			if err := look(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
				break
			}
		}
		done <- looks
	}()
	return func() int {
		cancel()
		return <-done
	}
}

// tenSlots is promise 4: in every committed state there are no more than the limit, and all slots are given away.
// tenSlots has more ask one daemon, or several, than there is room for.
func tenSlots(t *testing.T, daemons ...*store.Store) {
	const requests, slots = 200, 10
	s := daemons[0]
	limit(t, s, ofTenant, fleet.Limits{Environments: new(int64(slots))})
	mustPool(t, s, "builders")
	for n := range 4 {
		mustWarm(t, s, n, "builders")
	}
	stop := watch(t, func(ctx context.Context) error {
		usage, err := s.UsageOf(ctx, []fleet.Scope{ofTenant}, base)
		if err != nil {
			return err
		}
		if n := usage[0].Usage.Environments; n > slots {
			return fmt.Errorf("there were %d at a time", n)
		}
		wrong, err := s.CheckUsage(ctx)
		if len(wrong) > 0 {
			return fmt.Errorf("usage did not add up at a time: %q", wrong)
		}
		return err
	})
	var admitted, claimed atomic.Int64
	inParallel(requests, 64, func(i int) {
		env := request(10 + i).Env
		env.Owner, env.Team = fmt.Sprintf("user-%d", i%7), fmt.Sprintf("team-%d", i%3)
		a := ask(env)
		a.Decide = room(a)
		got, err := daemons[i%len(daemons)].Admit(t.Context(), a)
		switch {
		case err == nil:
			admitted.Add(1)
			if got.Claimed {
				claimed.Add(1)
			}
		case !errors.Is(err, errFull):
			t.Errorf("request %d: %v", i, err)
		}
	})
	looks := stop()
	if admitted.Load() != slots || claimed.Load() != 4 || looks == 0 {
		t.Fatalf("%d were admitted, %d of them claims; want %d and 4 (looked %d times)", admitted.Load(), claimed.Load(), slots, looks)
	}
	mustAddUp(t, s)
}

func budget(t *testing.T, s *store.Store) {
	limit(t, s, ofTeam, fleet.Limits{MicrosPerDay: new(int64(50_000))}) // five holds
	var admitted atomic.Int64
	inParallel(40, 20, func(i int) {
		a := request(i)
		a.Decide = room(a)
		if _, err := s.Admit(t.Context(), a); err == nil {
			admitted.Add(1)
		} else if !errors.Is(err, errFull) {
			t.Errorf("request %d: %v", i, err)
		}
	})
	if admitted.Load() != 5 {
		t.Fatalf("%d requests were admitted, the budget is for 5", admitted.Load())
	}
	mustAddUp(t, s)
}

// extensionWaits: what a decision has looked at does not grow behind its back.
func extensionWaits(t *testing.T, s *store.Store) {
	limit(t, s, ofUser, fleet.Limits{MicrosPerDay: new(int64(50_000))})
	other := mustAcquire(t, s, request(1)).Env
	extended := make(chan error, 1)
	a := request(2)
	a.Decide = func([]fleet.ScopeUsage) error {
		go func() {
			_, err := s.Change(t.Context(), other.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
				e.HeldMicros += 1000
				return store.Writes{}, nil
			})
			extended <- err
		}()
		select {
		case err := <-extended:
			t.Errorf("the extension went through before the decision: %v", err)
			extended <- err
		case <-time.After(300 * time.Millisecond): // it is not there to be waited for: it must not come
		}
		return nil
	}
	mustAcquire(t, s, a)
	if err := <-extended; err != nil {
		t.Fatal(err)
	}
	mustAddUp(t, s)
}

// mixedLimits lets requests of users with and without limits, releases and settlements meet: nobody waits
// in a circle, and all adds up.
func mixedLimits(t *testing.T, s *store.Store) {
	limit(t, s, ofTenant, fleet.Limits{Environments: new(int64(30))})
	limit(t, s, fleet.Scope{Kind: fleet.ScopeUser, Tenant: "acme", Name: "user-1"}, fleet.Limits{Environments: new(int64(3))})
	limit(t, s, fleet.Scope{Kind: fleet.ScopeUser, Tenant: "beta", Name: "user-2"}, fleet.Limits{Environments: new(int64(3))})
	inParallel(240, 16, func(i int) {
		env := request(i).Env
		env.Tenant, env.Team, env.Owner = []string{"acme", "beta"}[i%2], fmt.Sprintf("team-%d", i%3), fmt.Sprintf("user-%d", i%5)
		a := ask(env)
		a.Decide = room(a)
		got, err := s.Admit(t.Context(), a)
		if err != nil && !errors.Is(err, errFull) {
			t.Errorf("request %d: %v", i, err)
		}
		if err != nil || i%3 != 0 {
			return
		}
		for _, state := range []fleet.State{fleet.Destroying, fleet.Destroyed} {
			_, err := s.Change(t.Context(), got.Env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
				e.State = state
				return store.Writes{}, nil
			})
			if err != nil {
				t.Errorf("release %d: %v", i, err)
			}
		}
	})
	mustAddUp(t, s)
}

func holders(t *testing.T, s *store.Store) {
	for n := range 4 {
		env := environment(4 - n) // the oldest last
		if n == 1 {
			env.Owner, env.Team = "grace", "infra"
		}
		mustAdmit(t, s, env)
	}
	mustChange(t, s, environment(1).ID, func(e *fleet.Environment) { e.State = fleet.Destroying })
	mustChange(t, s, environment(2).ID, func(e *fleet.Environment) { e.State = fleet.Destroying })
	mustChange(t, s, environment(2).ID, func(e *fleet.Environment) { e.State = fleet.Destroyed })
	for _, c := range []struct {
		scope fleet.Scope
		limit int
		want  []int
	}{
		{ofTenant, 0, []int{1, 3, 4}},
		{ofTenant, 2, []int{1, 3}},
		{ofTeam, 0, []int{1, 4}},
		{ofUser, 0, []int{1, 4}},
		{fleet.Scope{Kind: fleet.ScopeTenant, Tenant: "zeta"}, 0, nil},
	} {
		got, err := s.Holders(t.Context(), c.scope, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, n := range c.want {
			want = append(want, environment(n).ID)
		}
		same(t, ids(got), want)
	}
}

// spenders: who holds the most of a period, and who spent the most of it on what is gone.
func spenders(t *testing.T, s *store.Store) {
	day := base.Truncate(24 * time.Hour)
	add := func(n int, owner, team string, hold int64, heldFor time.Duration, asked time.Time) fleet.Environment {
		env := environment(n)
		env.Owner, env.Team, env.CreatedAt = owner, team, asked
		a := ask(env)
		a.HeldMicros, a.HeldFor, a.Take = hold, heldFor, nil
		return mustAcquire(t, s, a).Env
	}
	end := func(env fleet.Environment, cost int64, leased time.Duration) {
		t.Helper()
		for _, state := range []fleet.State{fleet.Destroying, fleet.Destroyed} {
			_, err := s.Change(t.Context(), env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
				if e.State = state; state == fleet.Destroying {
					return store.Writes{}, nil
				}
				failed := leasedTime(*e, env.CreatedAt, env.CreatedAt.Add(leased), 1_000_000)
				failed.Debit = ledger.AccountFailed // the platform's to pay
				return store.Writes{Entries: []ledger.Entry{leasedTime(*e, env.CreatedAt, env.CreatedAt.Add(leased), cost), failed}}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	at := func(n int) time.Time { return day.Add(time.Duration(n) * time.Minute) }
	add(1, "ada", "core", 100, 3*time.Hour, at(1))
	add(2, "ada", "infra", 300, time.Hour, at(2))
	add(3, "grace", "core", 0, 2*time.Hour, at(3))
	add(4, "ada", "core", 900, 9*time.Hour, at(-1)) // of the day before
	add(5, "ada", "core", 900, 9*time.Hour, at(24*60))
	end(add(6, "ada", "core", 50, time.Hour, at(4)), 70, 90*time.Minute) // no more than it held
	end(add(7, "ada", "core", 50, time.Hour, at(5)), 30, 10*time.Minute)
	end(add(8, "grace", "infra", 500, time.Hour, at(6)), 400, 5*time.Minute)
	end(add(9, "alan", "core", 500, time.Hour, at(7)), 0, 0)
	end(add(10, "grace", "core", 500, time.Hour, at(-2)), 450, 5*time.Minute)
	end(add(11, "grace", "core", 500, time.Hour, at(24*60)), 450, 5*time.Minute)
	mustAddUp(t, s)
	ada, grace := fleet.Spent{Owner: "ada", Micros: 80, Time: 70 * time.Minute}, fleet.Spent{Owner: "grace", Micros: 400, Time: 5 * time.Minute}
	for name, c := range map[string]struct {
		scope   fleet.Scope
		ofMoney bool
		most    int
		live    []int
		gone    []fleet.Spent
	}{
		"money of the tenant":     {ofTenant, true, 9, []int{2, 1}, []fleet.Spent{grace, ada}},
		"time of the tenant":      {ofTenant, false, 9, []int{1, 3, 2}, []fleet.Spent{ada, grace}},
		"the most of each":        {ofTenant, false, 1, []int{1}, []fleet.Spent{ada}},
		"money of a team":         {ofTeam, true, 9, []int{1}, []fleet.Spent{ada}},
		"time of a user":          {ofUser, false, 9, []int{1, 2}, []fleet.Spent{ada}},
		"another tenant's is not": {fleet.Scope{Kind: fleet.ScopeTenant, Tenant: "zeta"}, true, 9, nil, nil},
	} {
		live, gone, err := s.Spenders(t.Context(), c.scope, day, day.Add(24*time.Hour), c.ofMoney, c.most)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, n := range c.live {
			want = append(want, environment(n).ID)
		}
		if !slices.Equal(ids(live), want) || !slices.Equal(gone, c.gone) {
			t.Errorf("%s: %v hold and %+v spent, want %v and %+v", name, ids(live), gone, want, c.gone)
		}
	}
}
