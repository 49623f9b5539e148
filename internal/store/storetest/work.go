package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

func work(t *testing.T, open Open) {
	t.Run("order", func(t *testing.T) { workOrder(t, open(t)) })
	t.Run("actions that are left", func(t *testing.T) { workLeft(t, open(t)) })
	t.Run("when it is due", func(t *testing.T) { workDue(t, open(t)) })
	t.Run("each once", func(t *testing.T) { workOnce(t, open(t)) })
	t.Run("take-over fences", func(t *testing.T) { takeOver(t, open(t)) })
}

// admitWork admits the n-th environment with an action recorded.
func admitWork(t tb, s *store.Store, n int, kind fleet.ActionKind) fleet.Environment {
	t.Helper()
	env := environment(n)
	env.Work.Action = kind
	return mustAdmit(t, s, env)
}

// mustTake takes work that must be there.
func mustTake(t *testing.T, s *store.Store, worker string, now, until time.Time) fleet.Environment {
	t.Helper()
	env, ok, err := s.TakeWork(t.Context(), worker, hosts, now, until)
	if err != nil || !ok {
		t.Fatalf("take work: %v, %v", ok, err)
	}
	return env
}

// wantNoWork checks that nothing is due.
func wantNoWork(t *testing.T, s *store.Store, now time.Time) {
	t.Helper()
	if env, ok, err := s.TakeWork(t.Context(), "idle", hosts, now, now.Add(time.Minute)); err != nil || ok {
		t.Fatalf("there was work on %q, error %v; want none", env.ID, err)
	}
}

// workLeft: a worker whose lane for an action is full is given what else there is, and nothing when that is all.
func workLeft(t *testing.T, s *store.Store) {
	now := base.Add(time.Hour)
	destroy, create := admitWork(t, s, 1, fleet.Destroy).ID, admitWork(t, s, 2, fleet.Create).ID
	for _, c := range []struct {
		except []fleet.ActionKind
		want   string
	}{
		{[]fleet.ActionKind{fleet.Destroy, fleet.Create, fleet.Personalise}, ""},
		{[]fleet.ActionKind{fleet.Destroy}, create},
		{[]fleet.ActionKind{fleet.Destroy}, ""},
		{[]fleet.ActionKind{fleet.Create, fleet.Personalise}, destroy},
	} {
		env, ok, err := s.TakeWork(t.Context(), "w", hosts, now, now.Add(time.Minute), c.except...)
		if err != nil || ok != (c.want != "") || env.ID != c.want {
			t.Fatalf("all but %v: got %q, %v, %v; want %q", c.except, env.ID, ok, err, c.want)
		}
	}
}

func workOrder(t *testing.T, s *store.Store) {
	wantNoWork(t, s, base)
	now := base.Add(time.Hour)
	want := []string{
		admitWork(t, s, 5, fleet.Personalise).ID, // somebody waits for it
		admitWork(t, s, 3, fleet.Destroy).ID,     // then destroys, the oldest of them first
		admitWork(t, s, 4, fleet.Destroy).ID,
		admitWork(t, s, 1, fleet.Create).ID,
		admitWork(t, s, 2, fleet.Create).ID,
	}
	mustAdmit(t, s, environment(0)) // no action
	for _, id := range want {
		before := mustGet(t, s, id)
		got := mustTake(t, s, "w1", now, now.Add(time.Minute))
		before.Work.Worker, before.Work.Until, before.Work.Generation = "w1", now.Add(time.Minute), 1
		before.Revision, before.UpdatedAt = 2, now
		same(t, got, before)
		same(t, mustGet(t, s, id), before)
	}
	wantNoWork(t, s, now)
	_, _, err := s.TakeWork(t.Context(), "", hosts, now, now)
	wantCode(t, err, fleet.CodeInternal)
}

func workDue(t *testing.T, s *store.Store) {
	env := environment(1)
	env.Work.Action, env.Work.NotBefore = fleet.Create, base.Add(time.Minute)
	mustAdmit(t, s, env)
	due := base.Add(time.Minute)
	wantNoWork(t, s, due.Add(-time.Microsecond))
	until := due.Add(time.Minute)
	mustTake(t, s, "w1", due, until)
	wantNoWork(t, s, until) // held up to and with its end
	if got := mustTake(t, s, "w2", until.Add(time.Microsecond), until.Add(time.Hour)); got.Work.Generation != 2 {
		t.Fatalf("the take-over has generation %d", got.Work.Generation)
	}
}

func workOnce(t *testing.T, s *store.Store) {
	const items, workers = 120, 16
	for i := range items {
		kind := fleet.Create
		if i%3 == 0 {
			kind = fleet.Destroy
		}
		admitWork(t, s, i, kind)
	}
	now := base.Add(time.Hour)
	var (
		wg    sync.WaitGroup
		taken [workers][]string
	)
	for w := range workers {
		wg.Go(func() {
			for {
				env, ok, err := s.TakeWork(t.Context(), fmt.Sprintf("w%d", w), hosts, now, now.Add(time.Minute))
				if err != nil {
					t.Error(err)
				}
				if !ok {
					return
				}
				taken[w] = append(taken[w], env.ID)
			}
		})
	}
	wg.Wait()
	owner := map[string]int{}
	for w := range workers {
		for _, id := range taken[w] {
			if first, twice := owner[id]; twice {
				t.Errorf("%s went to worker %d and %d", id, first, w)
			}
			owner[id] = w
		}
	}
	if len(owner) != items {
		t.Fatalf("%d of %d items were handed out", len(owner), items)
	}
}

func takeOver(t *testing.T, s *store.Store) {
	id := admitWork(t, s, 1, fleet.Create).ID
	now := base.Add(time.Hour)
	first := mustTake(t, s, "w1", now, now.Add(time.Minute))

	// A heartbeat moves the end and nothing else.
	if err := s.Heartbeat(t.Context(), id, 1, now.Add(2*time.Minute)); err != nil {
		t.Fatal(err)
	}
	first.Work.Until = now.Add(2 * time.Minute)
	same(t, mustGet(t, s, id), first)
	wantNoWork(t, s, now.Add(90*time.Second))

	late := now.Add(3 * time.Minute)
	second := mustTake(t, s, "w2", late, late.Add(time.Minute))

	// Whoever had it before can do nothing any more.
	for name, err := range map[string]error{
		"heartbeat":  s.Heartbeat(t.Context(), id, 1, late.Add(time.Hour)),
		"save state": s.SaveState(t.Context(), id, 1, 1, []byte("old")),
		"change": func() error {
			_, err := s.Change(t.Context(), id, store.Expect{Generation: 1}, func(e *fleet.Environment) (store.Writes, error) {
				e.State = fleet.Provisioning
				return store.Writes{}, nil
			})
			return err
		}(),
	} {
		if !errors.Is(err, store.ErrFenced) || fleet.CodeOf(err) != fleet.CodeConflict {
			t.Errorf("%s by the old worker: %v, want fenced", name, err)
		}
	}
	same(t, mustGet(t, s, id), second)
	if _, _, err := s.LatestState(t.Context(), id); fleet.CodeOf(err) != fleet.CodeNotFound {
		t.Fatalf("the old worker's state was kept: %v", err)
	}
	if err := s.SaveState(t.Context(), id, 2, 1, []byte("new")); err != nil {
		t.Fatalf("the new worker: %v", err)
	}

	// Work that was handed back is not held by a heartbeat.
	mustChange(t, s, id, func(e *fleet.Environment) { e.Work.Worker, e.Work.Until = "", time.Time{} })
	if err := s.Heartbeat(t.Context(), id, 2, late); !errors.Is(err, store.ErrFenced) {
		t.Fatalf("heartbeat on free work: %v", err)
	}
	wantCode(t, s.Heartbeat(t.Context(), "nobody", 1, late), fleet.CodeNotFound)
}
