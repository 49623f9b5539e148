package storetest

import (
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store"
)

func cost(t *testing.T, open Open) {
	t.Run("rates", func(t *testing.T) { rates(t, open(t)) })
	t.Run("entries by filter", func(t *testing.T) { entriesBy(t, open(t)) })
	t.Run("a hold is booked, raised and given back", func(t *testing.T) { holdBooked(t, open(t)) })
	t.Run("no more is settled than was held", func(t *testing.T) { settledWithinHold(t, open(t)) })
	t.Run("what cannot be held", func(t *testing.T) { notHeld(t, open(t)) })
	t.Run("estimates", func(t *testing.T) { estimates(t, open(t)) })
	t.Run("secrets", func(t *testing.T) { secrets(t, open(t)) })
	t.Run("events by filter", func(t *testing.T) { eventsBy(t, open(t)) })
}

func rates(t *testing.T, s *store.Store) {
	rate := func(blueprint, size string, from time.Time, micros int64) fleet.Rate {
		return fleet.Rate{Blueprint: blueprint, Size: size, From: from, Micros: micros, Currency: "EUR", SetBy: "root"}
	}
	later := base.Add(time.Hour)
	var said [][]fleet.Rate
	for _, r := range []fleet.Rate{
		rate("web", "small", base, 5), rate("build", "small", later, 3), rate("build", "small", base, 2),
		rate("build", "large", base, 9), rate("build", "small", later, 4),
	} {
		err := s.SetRate(t.Context(), r, func(were []fleet.Rate) fleet.Event {
			said = append(said, were)
			return fleet.Event{Kind: "rate.set"}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	same(t, said[2], []fleet.Rate{rate("build", "small", later, 3), rate("web", "small", base, 5)}) // as they were before it
	got, err := s.Rates(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, []fleet.Rate{
		rate("build", "large", base, 9), rate("build", "small", base, 2), rate("build", "small", later, 4), rate("web", "small", base, 5),
	})
}

// mustBook writes entries of an environment.
func mustBook(t tb, s *store.Store, id string, entries ...ledger.Entry) {
	t.Helper()
	_, err := s.Change(t.Context(), id, store.Expect{}, func(*fleet.Environment) (store.Writes, error) {
		return store.Writes{Entries: entries}, nil
	})
	if err != nil {
		t.Fatalf("book on %s: %v", id, err)
	}
}

func entriesBy(t *testing.T, s *store.Store) {
	first, other := mustAdmit(t, s, environment(1)), environment(2)
	other.Tenant = "zeta"
	other = mustAdmit(t, s, other)
	minute := func(n int) time.Time { return base.Add(time.Duration(n) * time.Minute) }
	mustBook(t, s, first.ID, leasedTime(first, minute(0), minute(1), 1), leasedTime(first, minute(1), minute(2), 2))
	mustBook(t, s, other.ID, leasedTime(other, minute(0), minute(3), 4))
	mustBook(t, s, first.ID, ledger.Entry{
		At: minute(4), Tenant: "acme", Team: "core", Owner: "ada", Project: "p", PullRequest: "7", Pool: "b", Blueprint: "build@1",
		Size: "small", Host: "local", Debit: ledger.AccountBudget, Credit: ledger.AccountHeld, RateMicros: 3, AmountMicros: 8, Currency: "USD",
	})
	for _, c := range []struct {
		f    store.EntryFilter
		want []int64
	}{
		{store.EntryFilter{}, []int64{1, 2, 4, 8}},
		{store.EntryFilter{EnvironmentID: first.ID}, []int64{1, 2, 8}},
		{store.EntryFilter{Tenant: "zeta"}, []int64{4}},
		{store.EntryFilter{Since: minute(2)}, []int64{2, 4, 8}},
		{store.EntryFilter{Until: minute(3)}, []int64{1, 2}},
		{store.EntryFilter{Since: minute(4)}, []int64{8}},
		{store.EntryFilter{Since: minute(2), Until: minute(4), Tenant: "acme"}, []int64{2}},
		{store.EntryFilter{After: 1, Limit: 2}, []int64{2, 4}},
		{store.EntryFilter{After: 4}, nil},
	} {
		entries, err := s.EntriesBy(t.Context(), c.f)
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, e := range entries {
			got = append(got, e.AmountMicros)
		}
		same(t, got, c.want)
	}
	entries, err := s.EntriesBy(t.Context(), store.EntryFilter{After: 3})
	if err != nil {
		t.Fatal(err)
	}
	same(t, entries, []ledger.Entry{{
		Seq: 4, At: minute(4), EnvironmentID: first.ID, Tenant: "acme", Team: "core", Owner: "ada", Project: "p", PullRequest: "7", Pool: "b",
		Blueprint: "build@1", Size: "small", Host: "local", Debit: ledger.AccountBudget, Credit: ledger.AccountHeld, RateMicros: 3,
		AmountMicros: 8, Currency: "USD",
	}})
}

func holdBooked(t *testing.T, s *store.Store) {
	env := mustAcquire(t, s, request(1)).Env // 10,000 for an hour
	user := func(wantMicros, wantSeconds int64) {
		t.Helper()
		mustAddUp(t, s)
		usage, err := s.UsageOf(t.Context(), []fleet.Scope{ofUser}, env.CreatedAt)
		if err != nil || usage[0].Usage.MicrosToday != wantMicros || usage[0].Usage.MicrosThisMonth != wantMicros ||
			usage[0].Usage.SecondsToday != wantSeconds {
			t.Fatalf("spent %+v, %v; want %d and %d s", usage, err, wantMicros, wantSeconds)
		}
	}
	user(10_000, 3600)
	mustChange(t, s, env.ID, func(e *fleet.Environment) { e.HeldMicros += 500; e.HeldFor += time.Minute })
	user(10_500, 3660)
	from, until := env.CreatedAt, env.CreatedAt.Add(90*time.Second)
	_, err := s.Change(t.Context(), env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
		e.State = fleet.Destroying
		return store.Writes{Entries: []ledger.Entry{
			leasedTime(*e, from, until, 30),
			{Tenant: e.Tenant, Team: e.Team, Owner: e.Owner, Debit: ledger.AccountProvisioning, AmountMicros: 4},
			{Tenant: e.Tenant, Team: e.Team, Owner: e.Owner, Debit: ledger.AccountFailed, AmountMicros: 100}, // not theirs to pay
			{Debit: ledger.AccountPool, AmountMicros: 1000},                                                  // before it was theirs
		}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	user(10_500, 3660) // it is not gone yet
	_, err = s.Change(t.Context(), env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
		e.State = fleet.Destroyed
		return store.Writes{Entries: []ledger.Entry{
			{Tenant: e.Tenant, Team: e.Team, Owner: e.Owner, Debit: ledger.AccountDestroying, AmountMicros: 5},
		}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	user(39, 90)
	balance := map[string]int64{}
	entries, err := s.Entries(t.Context(), env.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Debit == ledger.AccountHeld && (e.Tenant != "acme" || e.Owner != "ada" || e.Currency != "USD") {
			t.Errorf("the hold is booked as %+v", e)
		}
		balance[e.Debit] += e.AmountMicros
		balance[e.Credit] -= e.AmountMicros
	}
	if balance[ledger.AccountHeld] != 0 || balance[ledger.AccountBudget] != 0 {
		t.Fatalf("the hold is not given back: %v", balance)
	}
}

// settledWithinHold: making it, a late end and a removal that hangs cost more than the lease; the ledger has all of it,
// and the limits that it was admitted within have no more than was held.
func settledWithinHold(t *testing.T, s *store.Store) {
	full := fleet.Limits{MicrosPerDay: new(int64(20_500))}
	limit(t, s, ofUser, full)
	first, second := mustAcquire(t, s, request(1)).Env, request(2) // 10,000 for an hour, each
	mustChange(t, s, first.ID, func(e *fleet.Environment) { e.HeldMicros += 500; e.HeldFor += time.Minute })
	second.Decide = room(second)
	mustAcquire(t, s, second)
	end := func(env fleet.Environment, leased time.Duration, entries ...int64) {
		t.Helper()
		for _, state := range []fleet.State{fleet.Destroying, fleet.Destroyed} {
			_, err := s.Change(t.Context(), env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
				e.State = state
				making := leasedTime(*e, base, base.Add(time.Hour), entries[0])
				making.Debit = ledger.AccountProvisioning
				removing := making
				removing.Debit, removing.AmountMicros = ledger.AccountDestroying, entries[2]
				if state == fleet.Destroyed {
					return store.Writes{Entries: []ledger.Entry{removing}}, nil
				}
				return store.Writes{Entries: []ledger.Entry{making, leasedTime(*e, base, base.Add(leased), entries[1])}}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			mustAddUp(t, s)
		}
	}
	used := func(micros, seconds int64) {
		t.Helper()
		usage, err := s.UsageOf(t.Context(), []fleet.Scope{ofUser}, base)
		if err != nil || usage[0].Usage.MicrosToday != micros || usage[0].Usage.MicrosThisMonth != micros || usage[0].Usage.SecondsToday != seconds {
			t.Fatalf("%+v counts, %v; want %d and %d s", usage, err, micros, seconds)
		}
	}
	used(20_500, 7260)
	end(first, 61*time.Minute+11*time.Second, 44, 10_600, 51)
	used(20_500, 7260) // each micro-unit of the limit, and none more
	end(second.Env, 30*time.Minute, 0, 5000, 1_000_000)
	used(20_500, 5460) // the money is up, its time is not
	var booked int64
	for _, id := range []string{first.ID, second.Env.ID} {
		entries, err := s.Entries(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Credit == ledger.AccountCapacity {
				booked += e.AmountMicros
			}
		}
	}
	if booked != 44+10_600+51+5000+1_000_000 {
		t.Errorf("the ledger has %d", booked)
	}
}

func notHeld(t *testing.T, s *store.Store) {
	for _, c := range []struct {
		micros int64
		time   time.Duration
		want   fleet.Code
	}{{-1, 0, fleet.CodeInternal}, {0, -1, fleet.CodeInternal}, {1 << 62, 0, fleet.CodeInvalid}} {
		a := request(1)
		a.HeldMicros, a.HeldFor = c.micros, c.time
		_, err := s.Admit(t.Context(), a)
		wantCode(t, err, c.want)
	}
	env := mustAdmit(t, s, environment(1))
	_, err := s.Change(t.Context(), env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
		e.HeldMicros = -1
		return store.Writes{}, nil
	})
	wantCode(t, err, fleet.CodeInternal)
	mustChange(t, s, env.ID, func(e *fleet.Environment) { e.State = fleet.Destroying })
	mustChange(t, s, env.ID, func(e *fleet.Environment) { e.State = fleet.Destroyed })
	_, err = s.Change(t.Context(), env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
		e.HeldMicros++
		return store.Writes{}, nil
	})
	wantCode(t, err, fleet.CodeInternal)
	mustAddUp(t, s)
}

func estimates(t *testing.T, s *store.Store) {
	want := func(count int, median, p90 time.Duration) {
		t.Helper()
		got, err := s.Estimates(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, fleet.Estimate{Count: count, Median: median, P90: p90})
	}
	note := func(n int, off time.Duration) {
		t.Helper()
		env := mustAdmit(t, s, environment(n))
		_, err := s.Change(t.Context(), env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
			e.UpdatedAt = base.Add(time.Duration(n) * time.Second)
			return store.Writes{EstimateOff: &off}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	want(0, 0, 0)
	note(0, -time.Hour)
	want(1, time.Hour, time.Hour)
	for n := 1; n <= 10; n++ {
		note(n, time.Duration(n%2*2-1)*time.Duration(n)*time.Second)
	}
	want(11, 6*time.Second, 10*time.Second)
	for n := 11; n <= 200; n++ {
		note(n, time.Second)
	}
	want(200, time.Second, time.Second) // the hour is forgotten
}

func secrets(t *testing.T, s *store.Store) {
	a := request(1)
	a.Secrets = []byte("\x00first")
	env := mustAcquire(t, s, a).Env
	want := func(want string) {
		t.Helper()
		if got, err := s.Secrets(t.Context(), env.ID); err != nil || string(got) != want {
			t.Fatalf("secrets are %q, %v; want %q", got, err, want)
		}
	}
	write := func(sealed []byte, state fleet.State) {
		t.Helper()
		_, err := s.Change(t.Context(), env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
			e.State = state
			return store.Writes{Secrets: sealed}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	want("\x00first")
	write(nil, fleet.Provisioning)
	want("\x00first")
	write([]byte("second"), fleet.Provisioning)
	want("second")
	write([]byte{}, fleet.Provisioning)
	want("")
	write([]byte("third"), fleet.Leased)
	write(nil, fleet.Destroying)
	want("third")
	write(nil, fleet.Destroyed)
	want("") // nobody is left to have them
}

func eventsBy(t *testing.T, s *store.Store) {
	env := mustAdmit(t, s, environment(1)) // event 1
	full := fleet.Event{
		At: base, EnvironmentID: env.ID, Pool: "builders", Host: "local", Tenant: "acme", Team: "core", User: "ada",
		Kind: "a.b", Message: "one", Actor: "bothyd",
	}
	if err := s.AppendEvents(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.AppendEvents(t.Context(), full, fleet.Event{Kind: "host.down", Host: "far"}, fleet.Event{Kind: "pool.set", Pool: "p"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		f    store.EventFilter
		want []int64
	}{
		{store.EventFilter{}, []int64{1, 2, 3, 4}},
		{store.EventFilter{Limit: 2, After: 1}, []int64{2, 3}},
		{store.EventFilter{EnvironmentID: env.ID}, []int64{1, 2}},
		{store.EventFilter{Pool: "p"}, []int64{4}},
		{store.EventFilter{Host: "far"}, []int64{3}},
		{store.EventFilter{Tenant: "acme"}, []int64{2}},
		{store.EventFilter{Tenant: "acme", Pool: "p"}, nil},
		{store.EventFilter{Tenant: "zeta"}, nil},
	} {
		events, err := s.EventsBy(t.Context(), c.f)
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, e := range events {
			got = append(got, e.Seq)
			if e.Seq == 2 {
				full.Seq = 2
				same(t, e, full)
			}
		}
		same(t, got, c.want)
	}
	if events, receipts, err := s.Marks(t.Context()); err != nil || events != 4 || receipts != 0 {
		t.Fatalf("marks are %d and %d, %v", events, receipts, err)
	}
}
