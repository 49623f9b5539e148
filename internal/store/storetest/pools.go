package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

func pools(t *testing.T, open Open) {
	t.Run("set, changed, removed", func(t *testing.T) { poolRecords(t, open(t)) })
	t.Run("change", func(t *testing.T) { changePool(t, open(t)) })
	t.Run("refill", func(t *testing.T) { refill(t, open(t)) })
	t.Run("doubted", func(t *testing.T) { doubt(t, open(t)) })
	t.Run("64 refill one pool", func(t *testing.T) { refillRace(t, open(t)) })
}

func poolRecords(t *testing.T, s *store.Store) {
	full := fleet.Pool{
		Name: "builders", Blueprint: "build@1.0.0", Size: "small", Inputs: map[string]any{"shm_mib": int64(64), "ratio": 2.0},
		Target: 3, Min: 1, Max: 5, Surge: 2, Pause: true, FromFile: true, UpdatedAt: base, UpdatedBy: "root",
		Schedule: []fleet.ScheduledTarget{{Days: []time.Weekday{time.Monday}, From: 480, Until: 1080, Target: 5, Zone: "Europe/Berlin"}},
	}
	set := func(p fleet.Pool) fleet.Pool {
		t.Helper()
		got, err := s.SetPool(t.Context(), p, fleet.Event{At: base, Kind: "pool.set", Pool: p.Name})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := set(full)
	full.Revision = 1
	same(t, got, full)
	another := set(fleet.Pool{Name: "another", Blueprint: "build", Revision: 40})
	if another.Revision != 1 {
		t.Fatalf("a new pool is at revision %d", another.Revision)
	}
	// Why it is held outlives a new setting; only ChangePool clears it.
	held, err := s.ChangePool(t.Context(), "builders", 1, func(p *fleet.Pool) ([]fleet.Event, error) {
		p.Held, p.HeldAt, p.Failures = "it fails", base, 3
		return nil, nil
	})
	if err != nil || held.Revision != 2 {
		t.Fatalf("held at revision %d, %v", held.Revision, err)
	}
	full.Target, full.Inputs, full.Schedule = 4, nil, nil
	got = set(full)
	full.Revision, full.Held, full.HeldAt, full.Failures = 3, "it fails", base, 3
	same(t, got, full)
	all, err := s.Pools(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, all, []fleet.Pool{another, full})
	if one, err := s.Pool(t.Context(), "builders"); err != nil {
		t.Fatal(err)
	} else {
		same(t, one, full)
	}

	mustWarm(t, s, 1, "builders")
	removed := fleet.Event{At: base, Kind: "pool.removed", Pool: "builders"}
	if err := s.RemovePool(t.Context(), "builders", removed); err != nil {
		t.Fatal(err)
	}
	wantCode(t, s.RemovePool(t.Context(), "builders", removed), fleet.CodeNotFound)
	_, err = s.Pool(t.Context(), "builders")
	wantCode(t, err, fleet.CodeNotFound)
	if got := mustGet(t, s, member(1, "builders").ID); got.State != fleet.Warm || got.Pool != "builders" {
		t.Fatalf("its member is %s of pool %q", got.State, got.Pool)
	}
	events, err := s.EventsBy(t.Context(), store.EventFilter{Pool: "builders"})
	if err != nil || len(events) != 3 {
		t.Fatalf("%d events, %v; want set, set, removed", len(events), err)
	}
}

func changePool(t *testing.T, s *store.Store) {
	mustPool(t, s, "builders")
	own := errors.New("own error")
	for name, c := range map[string]struct {
		pool     string
		revision int64
		change   func(*fleet.Pool) ([]fleet.Event, error)
		want     error
		code     fleet.Code
	}{
		"moved":      {"builders", 2, func(p *fleet.Pool) ([]fleet.Event, error) { p.Failures++; return nil, nil }, store.ErrMoved, fleet.CodeConflict},
		"none":       {"other", 0, func(*fleet.Pool) ([]fleet.Event, error) { return nil, nil }, nil, fleet.CodeNotFound},
		"own error":  {"builders", 0, func(p *fleet.Pool) ([]fleet.Event, error) { p.Failures++; return nil, own }, own, ""},
		"other name": {"builders", 0, func(p *fleet.Pool) ([]fleet.Event, error) { p.Name = "x"; return nil, nil }, nil, fleet.CodeInternal},
	} {
		_, err := s.ChangePool(t.Context(), c.pool, c.revision, c.change)
		if c.want != nil && !errors.Is(err, c.want) || c.code != "" && fleet.CodeOf(err) != c.code {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, c := range []struct {
		change func(*fleet.Pool) []fleet.Event
		want   int64
	}{
		{func(p *fleet.Pool) []fleet.Event { p.Revision = 9; return nil }, 1}, // the store's own
		{func(p *fleet.Pool) []fleet.Event { p.Failures = 1; return nil }, 2},
		{func(*fleet.Pool) []fleet.Event { return []fleet.Event{{Kind: "pool.noted"}} }, 3},
		{func(p *fleet.Pool) []fleet.Event { p.Inputs = map[string]any{"a": "b"}; return nil }, 4},
		{func(p *fleet.Pool) []fleet.Event { p.Inputs["a"] = "c"; return nil }, 5}, // in place
	} {
		got, err := s.ChangePool(t.Context(), "builders", 0, func(p *fleet.Pool) ([]fleet.Event, error) { return c.change(p), nil })
		if err != nil || got.Revision != c.want {
			t.Fatalf("revision %d, %v; want %d", got.Revision, err, c.want)
		}
	}
	if got, err := s.Pool(t.Context(), "builders"); err != nil || got.Inputs["a"] != "c" {
		t.Fatalf("inputs %v, %v", got.Inputs, err)
	}
}

func refill(t *testing.T, s *store.Store) {
	mustPool(t, s, "builders")
	refill := func(pool string, revision int64, members ...fleet.Environment) error {
		return s.Refill(t.Context(), pool, revision, members, []fleet.Event{{Kind: "pool.refilled", Pool: pool}})
	}
	if err := refill("builders", 1, member(1, "builders"), member(2, "builders")); err != nil {
		t.Fatal(err)
	}
	want := member(2, "builders")
	want.Revision = 1
	same(t, mustGet(t, s, want.ID), want)
	if err := refill("builders", 1, member(3, "builders")); !errors.Is(err, store.ErrMoved) {
		t.Fatalf("a stale refill: %v", err)
	}
	wantCode(t, refill("other", 0, member(3, "other")), fleet.CodeNotFound)
	wantCode(t, refill("builders", 2, member(3, "builders"), member(1, "builders")), fleet.CodeConflict) // by half
	for name, alter := range map[string]func(*fleet.Environment){
		"another pool's": func(e *fleet.Environment) { e.Pool = "other" },
		"somebody's":     func(e *fleet.Environment) { e.Tenant = "acme" },
		"warm":           func(e *fleet.Environment) { e.State = fleet.Warm },
		"without a key":  func(e *fleet.Environment) { e.MatchKey = "" },
	} {
		m := member(3, "builders")
		alter(&m)
		if err := refill("builders", 2, m); fleet.CodeOf(err) != fleet.CodeInternal {
			t.Errorf("%s: got %v", name, err)
		}
	}
	live, err := s.Live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, ids(live), []string{member(1, "").ID, member(2, "").ID})
	events, err := s.EventsBy(t.Context(), store.EventFilter{Pool: "builders"})
	if err != nil || len(events) != 2 {
		t.Fatalf("%d events, %v; want the setting's and one refill's", len(events), err)
	}
	mustAddUp(t, s)
}

// refillRace: of many controllers that saw the same gap, one fills it.
func refillRace(t *testing.T, s *store.Store) {
	const controllers, rounds = 64, 3
	mustPool(t, s, "builders")
	for round := range rounds {
		pool, err := s.Pool(t.Context(), "builders")
		if err != nil {
			t.Fatal(err)
		}
		var won atomic.Int64
		inParallel(controllers, controllers, func(i int) {
			m := member(round*controllers+i, "builders")
			m.Name = fmt.Sprintf("pool-builders-%d-%d", round, i)
			switch err := s.Refill(t.Context(), "builders", pool.Revision, []fleet.Environment{m}, nil); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, store.ErrMoved):
				t.Errorf("controller %d: %v", i, err)
			}
		})
		live, err := s.Live(t.Context())
		if err != nil || won.Load() != 1 || len(live) != round+1 {
			t.Fatalf("round %d: %d controllers won, %d rows, %v; want 1 and %d", round, won.Load(), len(live), err, round+1)
		}
	}
}

// doubt: what was there before a time is doubted and claimed by nobody, whatever it becomes; what came later is.
func doubt(t *testing.T, s *store.Store) {
	mustPool(t, s, "builders")
	old, young := mustWarm(t, s, 1, "builders"), mustWarm(t, s, 2, "builders")
	before := young.CreatedAt.Add(-time.Microsecond)
	if old.CreatedAt.After(before) {
		t.Fatalf("created at %s and %s", old.CreatedAt, before)
	}
	held := mustAcquire(t, s, request(3))
	if held.Env.ID != old.ID {
		t.Fatalf("claimed %s", held.Env.ID)
	}
	third := mustWarm(t, s, 0, "builders")
	for _, was := range []string{"", "why"} { // it may be said again
		if done, err := s.Doubt(t.Context(), before, "safe", was, "why", fleet.Event{Kind: "doubted"}); err != nil || !done {
			t.Fatalf("done: %t, %v", done, err)
		}
	}
	// Somebody who knew less comes too late, and would doubt what came since.
	if done, err := s.Doubt(t.Context(), young.CreatedAt.Add(time.Hour), "safe", "", "another reason", fleet.Event{Kind: "doubted"}); err != nil || done {
		t.Fatalf("too late: done: %t, %v", done, err)
	}
	if why, err := s.Setting(t.Context(), "safe"); err != nil || why != "why" {
		t.Errorf("kept %q, %v", why, err)
	}
	got := mustGet(t, s, third.ID)
	if got.MatchKey != "" || !got.Doubted || got.Revision != third.Revision+1 {
		t.Errorf("match key %q, doubted %t, revision %d; want none, and one more than %d", got.MatchKey, got.Doubted, got.Revision, third.Revision)
	}
	want := held.Env
	want.Doubted, want.Revision = true, want.Revision+1
	same(t, mustGet(t, s, held.Env.ID), want)
	doubted, err := s.Doubted(t.Context())
	if err != nil || len(doubted) != 2 {
		t.Fatalf("doubted %+v, %v", doubted, err)
	}
	if next := mustAcquire(t, s, request(4)); next.Env.ID != young.ID {
		t.Errorf("claimed %s, want %s", next.Env.ID, young.ID)
	}
	if next := mustAcquire(t, s, request(5)); next.Claimed {
		t.Errorf("claimed %s", next.Env.ID)
	}
	mustAddUp(t, s)
}
