package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store"
)

func replace(t *testing.T, open Open) {
	t.Run("by the next warm one, then by a new row", func(t *testing.T) { replaces(t, open(t)) })
	t.Run("refused", func(t *testing.T) { replaceRefused(t, open(t)) })
}

func replaces(t *testing.T, s *store.Store) {
	mustPool(t, s, "builders")
	first, second := mustWarm(t, s, 1, "builders"), mustWarm(t, s, 2, "builders")
	a := keyed(9)
	a.Secrets = []byte("sealed")
	bad := mustAcquire(t, s, a).Env
	if bad.ID != first.ID {
		t.Fatalf("claimed %s first", bad.ID)
	}
	// It has cost something already. That counts for nothing: the request was admitted for its hold, once.
	at := base.Add(time.Minute)
	_, err := s.Change(t.Context(), bad.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
		return store.Writes{Entries: []ledger.Entry{leasedTime(*e, base, at, 7)}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	a.Env.CreatedAt = a.Env.CreatedAt.Add(31 * 24 * time.Hour) // it counts when it was admitted all the same
	a.RequestHash = ""                                         // whoever finishes the work of a dead daemon does not know it
	got, err := s.Replace(t.Context(), bad.ID, bad.Work.Generation, strip, a)
	if err != nil || !got.Claimed || got.Env.ID != second.ID || got.Env.Name != a.Env.Name || got.Env.IdempotencyKey != "once" {
		t.Fatalf("got %+v, %v; want the second warm one under the request's name and key", got, err)
	}
	left := mustGet(t, s, bad.ID)
	if left.State != fleet.Destroying || left.Tenant != "" || left.Name != left.ID || left.IdempotencyKey != "" {
		t.Fatalf("the bad one is left %s, of tenant %q, named %q", left.State, left.Tenant, left.Name)
	}
	for id, want := range map[string]string{bad.ID: "", second.ID: "sealed"} {
		if sealed, err := s.Secrets(t.Context(), id); err != nil || string(sealed) != want {
			t.Errorf("secrets of %s are %q, %v; want %q", id, sealed, err, want)
		}
	}
	mustAddUp(t, s)
	counts := func(env fleet.Environment) {
		t.Helper()
		mustAddUp(t, s)
		usage, err := s.UsageOf(t.Context(), env.Scopes(), bad.HeldAt)
		if err != nil || usage[2].Usage.Environments != 1 || usage[2].Usage.MicrosToday != 10_000 || usage[2].Usage.SecondsToday != 3600 {
			t.Fatalf("usage is %+v, %v; want one environment and its hold", usage, err)
		}
	}
	counts(got.Env)

	got, err = s.Replace(t.Context(), second.ID, got.Env.Work.Generation, strip, a)
	if err != nil || got.Claimed || got.Env.ID != a.Env.ID || got.Env.State != fleet.Pending {
		t.Fatalf("got %+v, %v; want a new row", got, err)
	}
	counts(got.Env)
	// The key still is the request's.
	a.RequestHash = "hash"
	if again := mustAcquire(t, s, a); !again.Existed || again.Env.ID != a.Env.ID {
		t.Fatalf("the key gives %s", again.Env.ID)
	}
	same(t, kinds(t, s, bad.ID), []string{"environment.requested", "environment.claimed", "environment.unhealthy"})
}

func replaceRefused(t *testing.T, s *store.Store) {
	mustPool(t, s, "builders")
	mustWarm(t, s, 1, "builders")
	free := mustWarm(t, s, 2, "builders")
	a := request(9)
	bad := mustAcquire(t, s, a).Env
	own := errors.New("own error")
	refused := func(name string, generation int64, strip func(*fleet.Environment) (store.Writes, error), want error, code fleet.Code) {
		t.Helper()
		_, err := s.Replace(t.Context(), bad.ID, generation, strip, a)
		if want != nil && !errors.Is(err, want) || code != "" && fleet.CodeOf(err) != code {
			t.Errorf("%s: got %v", name, err)
		}
		same(t, mustGet(t, s, bad.ID), bad)
		same(t, mustGet(t, s, free.ID), free)
	}
	generation := bad.Work.Generation
	refused("taken over", generation+1, strip, store.ErrFenced, fleet.CodeConflict)
	refused("its own error", generation, func(*fleet.Environment) (store.Writes, error) { return store.Writes{}, own }, own, "")
	for name, keep := range map[string]func(*fleet.Environment){
		"keeps its tenant": func(e *fleet.Environment) { e.Tenant = bad.Tenant },
		"keeps its key":    func(e *fleet.Environment) { e.IdempotencyKey = "k" },
		"keeps its name":   func(e *fleet.Environment) { e.Name = bad.Name },
		"stays leased":     func(e *fleet.Environment) { e.State = fleet.Leased },
	} {
		refused(name, generation, func(e *fleet.Environment) (store.Writes, error) {
			writes, err := strip(e)
			keep(e)
			return writes, err
		}, nil, fleet.CodeInternal)
	}
	bad = mustChange(t, s, bad.ID, func(e *fleet.Environment) { e.Work.Action = fleet.None })
	refused("handed over", generation, strip, nil, fleet.CodeConflict)
	bad = mustChange(t, s, bad.ID, func(e *fleet.Environment) { e.State = fleet.Destroying })
	refused("released", generation, strip, nil, fleet.CodeConflict)
	_, err := s.Replace(t.Context(), "nobody", 1, strip, a)
	wantCode(t, err, fleet.CodeNotFound)
	mustAddUp(t, s)
}

// leasedTime is the entry of a time that an environment was leased.
func leasedTime(e fleet.Environment, from, until time.Time, amount int64) ledger.Entry {
	return ledger.Entry{
		At: until, Tenant: e.Tenant, Team: e.Team, Owner: e.Owner, Debit: ledger.AccountLeased, Credit: ledger.AccountCapacity,
		From: from, Until: until, AmountMicros: amount, Currency: e.Size.Currency,
	}
}
