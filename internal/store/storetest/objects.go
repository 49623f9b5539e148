package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// objects: what is made is on record before the provider is asked, by whoever holds the work alone; an answer is a fact.
func objects(t *testing.T, open Open) {
	s := open(t)
	env := admitWork(t, s, 1, fleet.Create)
	other := admitWork(t, s, 2, fleet.Create)
	now := base.Add(time.Hour)
	mustTake(t, s, "w1", now, now.Add(time.Minute))
	mustTake(t, s, "w1", now, now.Add(time.Minute))

	box := fleet.Object{Generation: 1, Kind: "container", Name: "bothy-x", At: now}
	disk := fleet.Object{Generation: 1, Kind: "volume", Name: "bothy-x-data", At: now.Add(time.Second)}
	for _, o := range []fleet.Object{disk, box} {
		if err := s.IntendObject(t.Context(), env.ID, o); err != nil {
			t.Fatal(err)
		}
	}
	same(t, mustObjects(t, s, env.ID), []fleet.Object{box, disk})
	wantCode(t, s.IntendObject(t.Context(), env.ID, fleet.Object{Kind: "container", Name: "x"}), fleet.CodeInternal)
	wantCode(t, s.IntendObject(t.Context(), "nobody", box), fleet.CodeNotFound)

	// Another worker takes over: the first may make nothing more, but its answers still count.
	mustTake(t, s, "w2", now.Add(time.Hour), now.Add(2*time.Hour))
	if err := s.IntendObject(t.Context(), env.ID, fleet.Object{Generation: 1, Kind: "container", Name: "late", At: now}); !errors.Is(err, store.ErrFenced) {
		t.Fatalf("an intent of the first worker gave %v, want ErrFenced", err)
	}
	box.ID, box.Answered, disk.Answered = "c0ffee", true, true
	for _, o := range []fleet.Object{box, disk} {
		if err := s.AnswerObject(t.Context(), env.ID, o); err != nil {
			t.Fatal(err)
		}
	}
	same(t, mustObjects(t, s, env.ID), []fleet.Object{box, disk})

	// A try of the same generation begins anew.
	again := fleet.Object{Generation: 2, Kind: "container", Name: "bothy-x", At: now.Add(time.Hour)}
	for range 2 {
		if err := s.IntendObject(t.Context(), env.ID, again); err != nil {
			t.Fatal(err)
		}
	}
	same(t, mustObjects(t, s, env.ID), []fleet.Object{box, disk, again})
	same(t, len(mustObjects(t, s, other.ID)), 0)

	for _, state := range []fleet.State{fleet.Provisioning, fleet.Destroying} {
		_, err := s.Change(t.Context(), env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
			e.State = state
			return store.Writes{}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	same(t, len(mustObjects(t, s, env.ID)), 3)
	if err := gone(s, t, env.ID, sign); err != nil {
		t.Fatal(err)
	}
	same(t, len(mustObjects(t, s, env.ID)), 0) // its receipt tells
}

func mustObjects(t *testing.T, s *store.Store, id string) []fleet.Object {
	t.Helper()
	all, err := s.Objects(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return all
}
