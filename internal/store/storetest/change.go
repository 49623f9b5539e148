package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store"
)

func change(t *testing.T, open Open) {
	t.Run("row and records together", func(t *testing.T) { together(t, open(t)) })
	t.Run("nothing to write", func(t *testing.T) { nothingToWrite(t, open(t)) })
	t.Run("expectations", func(t *testing.T) { expectations(t, open(t)) })
	t.Run("errors roll back", func(t *testing.T) { rollBack(t, open(t)) })
	t.Run("every move of the state", func(t *testing.T) { everyMove(t, open(t)) })
	t.Run("what is fixed", func(t *testing.T) { fixed(t, open(t)) })
	t.Run("rename", func(t *testing.T) {
		s := open(t)
		mustAdmit(t, s, environment(1))
		second := mustAdmit(t, s, environment(2))
		_, err := s.Change(t.Context(), second.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
			e.Name = "env-1"
			return store.Writes{}, nil
		})
		wantCode(t, err, fleet.CodeConflict)
		if got := mustChange(t, s, second.ID, func(e *fleet.Environment) { e.Name = "env-3" }); got.Name != "env-3" {
			t.Fatalf("renamed to %q", got.Name)
		}
	})
	t.Run("at once, no write is lost", func(t *testing.T) { noLostWrite(t, open(t)) })
	t.Run("at once, one wins a revision", func(t *testing.T) { oneWins(t, open(t)) })
}

func together(t *testing.T, s *store.Store) {
	env := mustAdmit(t, s, environment(1))
	at := base.Add(time.Minute)
	entry := ledger.Entry{
		At: at, Owner: "ada", Blueprint: "build@1.0.0", Debit: ledger.AccountLeased, Credit: ledger.AccountCapacity,
		From: base, Until: at, AmountMicros: 166, Currency: "USD",
	}
	got, err := s.Change(t.Context(), env.ID, store.Expect{Revision: 1}, func(e *fleet.Environment) (store.Writes, error) {
		same(t, *e, env)
		e.State = fleet.Provisioning
		e.Revision = 99 // the store's own
		return store.Writes{
			Events:  []fleet.Event{{At: at, Kind: "one", Message: "first", Actor: "bothyd"}, {At: at, Kind: "two"}},
			Entries: []ledger.Entry{entry, entry},
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	env.State, env.Revision = fleet.Provisioning, 2
	same(t, got, env)
	same(t, mustGet(t, s, env.ID), env)

	events, err := s.Events(t.Context(), env.ID, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	same(t, events, []fleet.Event{
		{Seq: 2, At: at, EnvironmentID: env.ID, Kind: "one", Message: "first", Actor: "bothyd"},
		{Seq: 3, At: at, EnvironmentID: env.ID, Kind: "two"},
	})
	entries, err := s.Entries(t.Context(), env.ID)
	if err != nil {
		t.Fatal(err)
	}
	entry.EnvironmentID = env.ID
	first, second := entry, entry
	first.Seq, second.Seq = 1, 2
	same(t, entries, []ledger.Entry{first, second})
}

func nothingToWrite(t *testing.T, s *store.Store) {
	env := mustAdmit(t, s, environment(1))
	got := mustChange(t, s, env.ID, func(e *fleet.Environment) {
		e.Revision = 7
		e.UpdatedAt = e.UpdatedAt.Add(time.Nanosecond) // below what is kept
	})
	same(t, got, env)
	got, err := s.Change(t.Context(), env.ID, store.Expect{}, func(*fleet.Environment) (store.Writes, error) {
		return store.Writes{Events: []fleet.Event{{At: base, Kind: "create.progress"}}}, nil
	})
	if err != nil || got.Revision != 2 {
		t.Fatalf("an event alone: revision %d, error %v; want 2", got.Revision, err)
	}
	// A map changed in place is a change.
	got = mustChange(t, s, env.ID, func(e *fleet.Environment) { e.Inputs["quick"] = false })
	if got.Revision != 3 || mustGet(t, s, env.ID).Inputs["quick"] != false {
		t.Fatalf("an input changed in place was not written: revision %d", got.Revision)
	}
}

func expectations(t *testing.T, s *store.Store) {
	env := mustAdmit(t, s, environment(1))
	mustChange(t, s, env.ID, func(e *fleet.Environment) { e.Work.Action = fleet.Create }) // revision 2
	taken, ok, err := s.TakeWork(t.Context(), "w", hosts, base, base.Add(time.Minute))    // revision 3, generation 1
	if err != nil || !ok || taken.Revision != 3 || taken.Work.Generation != 1 {
		t.Fatalf("take work: %v, %v, revision %d, generation %d", ok, err, taken.Revision, taken.Work.Generation)
	}
	for _, c := range []struct {
		expect store.Expect
		want   error
	}{
		{store.Expect{}, nil},
		{store.Expect{Revision: 3}, nil},
		{store.Expect{Generation: 1}, nil},
		{store.Expect{Revision: 3, Generation: 1}, nil},
		{store.Expect{Revision: 2}, store.ErrMoved},
		{store.Expect{Revision: 4}, store.ErrMoved},
		{store.Expect{Revision: 2, Generation: 1}, store.ErrMoved},
		{store.Expect{Generation: 2}, store.ErrFenced},
		{store.Expect{Revision: 3, Generation: 2}, store.ErrFenced},
		{store.Expect{Revision: 2, Generation: 2}, store.ErrFenced},
	} {
		called := false
		got, err := s.Change(t.Context(), env.ID, c.expect, func(*fleet.Environment) (store.Writes, error) {
			called = true
			return store.Writes{}, nil
		})
		if !errors.Is(err, c.want) || called != (c.want == nil) {
			t.Errorf("%+v: error %v, called %v; want %v", c.expect, err, called, c.want)
		}
		if c.want != nil && fleet.CodeOf(err) != fleet.CodeConflict {
			t.Errorf("%+v: code %q", c.expect, fleet.CodeOf(err))
		}
		if c.want == nil {
			same(t, got, taken)
		}
	}
	_, err = s.Change(t.Context(), "nobody", store.Expect{}, func(*fleet.Environment) (store.Writes, error) {
		return store.Writes{}, nil
	})
	wantCode(t, err, fleet.CodeNotFound)
}

func rollBack(t *testing.T, s *store.Store) {
	env := mustAdmit(t, s, environment(1))
	own := errors.New("own error")
	for _, give := range []error{own, fmt.Errorf("wrapped: %w", own), fleet.Errorf(fleet.CodeQuota, "too many")} {
		_, err := s.Change(t.Context(), env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
			e.State = fleet.Provisioning
			return store.Writes{Events: []fleet.Event{{Kind: "never"}}}, give
		})
		if err != give { //nolint:errorlint // handed back as it is, not wrapped
			t.Fatalf("got %v, want %v itself", err, give)
		}
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_, _ = s.Change(t.Context(), env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
			e.State = fleet.Provisioning
			panic("in change")
		})
	}()
	// An entry that cannot be encoded, after the row was altered.
	_, err := s.Change(t.Context(), env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
		e.Inputs["bad"] = struct{}{}
		return store.Writes{Events: []fleet.Event{{Kind: "never"}}}, nil
	})
	wantCode(t, err, fleet.CodeInternal)
	same(t, mustGet(t, s, env.ID), env)
	events, err := s.Events(t.Context(), "", 0, 0)
	if err != nil || len(events) != 1 {
		t.Fatalf("%d events, error %v; want the admission's alone", len(events), err)
	}
}

func everyMove(t *testing.T, s *store.Store) {
	n := 0
	for _, from := range fleet.States() {
		for _, to := range append(fleet.States(), "", "asleep") {
			n++
			before := admitIn(t, s, n, from)
			got, err := s.Change(t.Context(), before.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
				e.State = to
				return store.Writes{Events: []fleet.Event{{Kind: "moved"}}}, nil
			})
			after := mustGet(t, s, before.ID)
			if from == to || from.CanBecome(to) {
				if err != nil || got.State != to {
					t.Errorf("%s to %q was refused: %v", from, to, err)
				}
				same(t, after, got)
				continue
			}
			if fleet.CodeOf(err) != fleet.CodeConflict {
				t.Errorf("%s to %q: got %v, want a conflict", from, to, err)
			}
			same(t, after, before)
			if events, err := s.Events(t.Context(), before.ID, 0, 0); err != nil || len(events) != 1 {
				t.Errorf("%s to %q: %d events, error %v; the refused move left one", from, to, len(events), err)
			}
		}
	}
}

func fixed(t *testing.T, s *store.Store) {
	env := mustAdmit(t, s, environment(1))
	env = mustChange(t, s, env.ID, func(e *fleet.Environment) { e.Work.Generation = 5 })
	for name, alter := range map[string]func(*fleet.Environment){
		"id":         func(e *fleet.Environment) { e.ID = "other" },
		"owner":      func(e *fleet.Environment) { e.Owner = "other" },
		"key":        func(e *fleet.Environment) { e.IdempotencyKey = "other" },
		"created":    func(e *fleet.Environment) { e.CreatedAt = e.CreatedAt.Add(time.Second) },
		"generation": func(e *fleet.Environment) { e.Work.Generation = 4 },
	} {
		_, err := s.Change(t.Context(), env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
			alter(e)
			return store.Writes{}, nil
		})
		if fleet.CodeOf(err) != fleet.CodeInternal {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
	same(t, mustGet(t, s, env.ID), env)
}

func noLostWrite(t *testing.T, s *store.Store) {
	const writers, writes = 8, 10
	env := mustAdmit(t, s, environment(1))
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range writes {
				_, err := s.Change(t.Context(), env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
					e.Work.Attempts++
					return store.Writes{Events: []fleet.Event{{Kind: "counted"}}}, nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := mustGet(t, s, env.ID)
	events, err := s.Events(t.Context(), env.ID, 0, 1000)
	if err != nil || got.Work.Attempts != writers*writes || got.Revision != 1+writers*writes || len(events) != 1+writers*writes {
		t.Fatalf("count %d, revision %d, %d events, error %v", got.Work.Attempts, got.Revision, len(events), err)
	}
	for i, e := range events {
		if e.Seq != int64(i+1) {
			t.Fatalf("event %d has number %d", i, e.Seq)
		}
	}
}

func oneWins(t *testing.T, s *store.Store) {
	const writers = 16
	env := mustAdmit(t, s, environment(1))
	var (
		wg   sync.WaitGroup
		errs [writers]error
	)
	for i := range writers {
		wg.Go(func() {
			_, errs[i] = s.Change(t.Context(), env.ID, store.Expect{Revision: 1}, func(e *fleet.Environment) (store.Writes, error) {
				e.Reason = fmt.Sprintf("writer %d", i)
				return store.Writes{}, nil
			})
		})
	}
	wg.Wait()
	won := 0
	for i, err := range errs {
		if err == nil {
			won++
			if got := mustGet(t, s, env.ID).Reason; got != fmt.Sprintf("writer %d", i) {
				t.Errorf("writer %d won, but %q is kept", i, got)
			}
		} else if !errors.Is(err, store.ErrMoved) {
			t.Errorf("writer %d: %v", i, err)
		}
	}
	if won != 1 {
		t.Fatalf("%d writers won", won)
	}
}
