package storetest

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

func admit(t *testing.T, open Open) {
	t.Run("new", func(t *testing.T) {
		s := open(t)
		want := environment(1)
		got := mustAdmit(t, s, want)
		want.Revision = 1
		same(t, got, want)
		same(t, mustGet(t, s, want.ID), want)
		events, err := s.Events(t.Context(), want.ID, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		event := requested(want)
		event.Seq, event.EnvironmentID = 1, want.ID
		same(t, events, []fleet.Event{event})
	})
	t.Run("not pending", func(t *testing.T) {
		s := open(t)
		env := environment(1)
		env.State = fleet.Leased
		_, err := s.Admit(t.Context(), store.Admission{Env: env, Event: requested(env)})
		wantCode(t, err, fleet.CodeInternal)
	})
	t.Run("inputs of a type that cannot be kept", func(t *testing.T) {
		s := open(t)
		env := environment(1)
		env.Inputs["list"] = []string{"a"}
		_, err := s.Admit(t.Context(), store.Admission{Env: env, Event: requested(env)})
		wantCode(t, err, fleet.CodeInternal)
	})
	t.Run("same key and request", func(t *testing.T) { sameKey(t, open(t)) })
	t.Run("same key at once", func(t *testing.T) { sameKeyAtOnce(t, open(t)) })
	t.Run("same name", func(t *testing.T) { sameName(t, open(t)) })
	t.Run("same name at once", func(t *testing.T) { sameNameAtOnce(t, open(t)) })
}

func sameKey(t *testing.T, s *store.Store) {
	first := environment(1)
	first.IdempotencyKey = "key"
	mustAdmit(t, s, first)
	moved := mustChange(t, s, first.ID, func(e *fleet.Environment) { e.State = fleet.Destroying })

	second := environment(2)
	second.IdempotencyKey = "key"
	again := store.Admission{Env: second, RequestHash: "hash", Event: requested(second)}
	got, err := s.Admit(t.Context(), again)
	if err != nil || !got.Existed {
		t.Fatalf("existed %v, error %v; want the first environment", got.Existed, err)
	}
	same(t, got.Env, moved)

	again.RequestHash = "other"
	_, err = s.Admit(t.Context(), again)
	wantCode(t, err, fleet.CodeConflict)
	if hint := hintOf(err); hint == "" {
		t.Fatal("the error has no hint")
	}

	// Another owner's key is another key.
	second.Owner = "grace"
	mustAdmit(t, s, second)
	// The key holds for environments that are gone, too.
	mustChange(t, s, first.ID, func(e *fleet.Environment) { e.State = fleet.Destroyed })
	again.RequestHash = "hash"
	if got, err := s.Admit(t.Context(), again); err != nil || !got.Existed || got.Env.ID != first.ID {
		t.Fatalf("after the end: %q, existed %v, error %v", got.Env.ID, got.Existed, err)
	}
}

func sameKeyAtOnce(t *testing.T, s *store.Store) {
	const callers = 32
	var (
		wg   sync.WaitGroup
		got  [callers]store.Admitted
		errs [callers]error
	)
	for i := range callers {
		wg.Go(func() {
			env := environment(i)
			env.IdempotencyKey = "key"
			a := store.Admission{Env: env, RequestHash: "hash", Event: requested(env)}
			got[i], errs[i] = s.Admit(t.Context(), a)
		})
	}
	wg.Wait()
	fresh := 0
	for i := range callers {
		if errs[i] != nil || got[i].Env.ID != got[0].Env.ID {
			t.Errorf("caller %d got %q and %v, caller 0 %q", i, got[i].Env.ID, errs[i], got[0].Env.ID)
		}
		if errs[i] == nil && !got[i].Existed {
			fresh++
		}
	}
	live, err := s.Live(t.Context())
	if err != nil || len(live) != 1 || fresh != 1 {
		t.Fatalf("%d rows, %d callers were told it is new, error %v; want 1 and 1", len(live), fresh, err)
	}
}

func sameName(t *testing.T, s *store.Store) {
	mustAdmit(t, s, environment(1))
	second := environment(2)
	second.Name = "env-1"
	_, err := s.Admit(t.Context(), store.Admission{Env: second, Event: requested(second)})
	wantCode(t, err, fleet.CodeConflict)
	if !strings.Contains(err.Error(), `"env-1"`) || hintOf(err) == "" {
		t.Fatalf("the error does not name the name, or has no hint: %v", err)
	}
	mustChange(t, s, environment(1).ID, func(e *fleet.Environment) { e.State = fleet.Destroying })
	_, err = s.Admit(t.Context(), store.Admission{Env: second, Event: requested(second)})
	wantCode(t, err, fleet.CodeConflict) // still there

	mustChange(t, s, environment(1).ID, func(e *fleet.Environment) { e.State = fleet.Destroyed })
	mustAdmit(t, s, second)
	events, err := s.Events(t.Context(), "", 0, 0)
	if err != nil || len(events) != 2 {
		t.Fatalf("%d events, error %v; a refused admission left one", len(events), err)
	}
}

func sameNameAtOnce(t *testing.T, s *store.Store) {
	const names, callers = 4, 8
	var (
		wg  sync.WaitGroup
		won [names][callers]bool
	)
	for n := range names {
		for c := range callers {
			wg.Go(func() {
				env := environment(n*callers + c)
				env.Name = fmt.Sprintf("name-%d", n)
				got, err := s.Admit(t.Context(), store.Admission{Env: env, Event: requested(env)})
				if won[n][c] = err == nil && !got.Existed; err != nil && fleet.CodeOf(err) != fleet.CodeConflict {
					t.Errorf("caller %d of %d: %v", c, n, err)
				}
			})
		}
	}
	wg.Wait()
	for n := range names {
		winners := 0
		for c := range callers {
			if won[n][c] {
				winners++
			}
		}
		if winners != 1 {
			t.Errorf("name %d went to %d callers", n, winners)
		}
	}
}
