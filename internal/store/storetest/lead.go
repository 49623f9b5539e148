package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

func leadGroup(t *testing.T, open Open) {
	t.Run("take and renew", func(t *testing.T) { takeLead(t, open(t)) })
	t.Run("earlier process", func(t *testing.T) { earlierLeader(t, open(t)) })
	t.Run("who led is fenced", func(t *testing.T) { deposed(t, open(t)) })
}

// mustLead bids for the lead and gives who leads.
func mustLead(t *testing.T, s *store.Store, bid store.Bid, now time.Time) fleet.Leader {
	t.Helper()
	l, left, err := s.Lead(t.Context(), bid, now)
	if err != nil {
		t.Fatalf("%s leads: %v", bid.Worker, err)
	}
	if l.Worker == bid.Worker && left != bid.For {
		t.Fatalf("%s leads for %s, asked for %s", bid.Worker, left, bid.For)
	}
	return l
}

// over is a lead that has run out as soon as it is looked at again: by the database's clock, and with after by the caller's.
const over = time.Microsecond

func takeLead(t *testing.T, s *store.Store) {
	if l, _, err := s.Leader(t.Context(), base); err != nil || l != (fleet.Leader{}) {
		t.Fatalf("in a new store %+v leads, %v", l, err)
	}
	for _, bid := range []store.Bid{{For: time.Hour}, {Worker: "d1.p1"}} {
		_, _, err := s.Lead(t.Context(), bid, base)
		wantCode(t, err, fleet.CodeInternal)
	}
	planned := base.Add(-time.Minute)
	first := mustLead(t, s, store.Bid{Worker: "d1.p1", Address: addressOf("d1.p1"), For: time.Hour, PlannedAt: planned}, base)
	if first.Worker != "d1.p1" || first.Generation != 1 || first.Address != addressOf("d1.p1") || !first.PlannedAt.Equal(planned) || first.Since.IsZero() {
		t.Fatalf("got %+v", first)
	}
	if other := mustLead(t, s, store.Bid{Worker: "d2.p1", For: time.Hour}, base.Add(time.Second)); other != first {
		t.Fatalf("another was told that %+v leads, want %+v", other, first)
	}
	// What is not said of the last plan is not forgotten.
	again := mustLead(t, s, store.Bid{Worker: "d1.p1", For: over}, base.Add(time.Minute))
	if again.Generation != 1 || !again.Since.Equal(first.Since) || !again.PlannedAt.Equal(planned) || again.Address != "" {
		t.Fatalf("renewed it is %+v", again)
	}
	later := base.Add(2 * time.Minute)
	if l, now, err := s.Leader(t.Context(), later); err != nil || l.Leads(now) {
		t.Fatalf("a lead that has run out: %+v at %s, %v", l, now, err)
	}
	second := mustLead(t, s, store.Bid{Worker: "d2.p1", For: over}, later)
	if second.Worker != "d2.p1" || second.Generation != 2 || !second.Since.After(first.Since) || !second.PlannedAt.Equal(planned) {
		t.Fatalf("taken over it is %+v", second)
	}
	// Late, but nobody took it.
	if l := mustLead(t, s, store.Bid{Worker: "d2.p1", For: time.Hour}, later.Add(time.Hour)); l.Generation != 2 || !l.Since.Equal(second.Since) {
		t.Fatalf("renewed late it is %+v", l)
	}
	if l := mustLead(t, s, store.Bid{Worker: "d1.p1", For: time.Hour}, later.Add(time.Hour)); l.Worker != "d2.p1" {
		t.Fatalf("the former leader got it back: %+v", l)
	}
	if err := s.Resign(t.Context(), "d1.p1"); err != nil { // which it has not
		t.Fatal(err)
	}
	if l := mustLead(t, s, store.Bid{Worker: "d3.p1", For: time.Hour}, later.Add(time.Hour)); l.Worker != "d2.p1" {
		t.Fatalf("one that does not lead resigned, and %+v leads", l)
	}
	if err := s.Resign(t.Context(), "d2.p1"); err != nil {
		t.Fatal(err)
	}
	if l := mustLead(t, s, store.Bid{Worker: "d3.p1", For: time.Hour}, later.Add(time.Hour)); l.Worker != "d3.p1" || l.Generation != 3 {
		t.Fatalf("after it resigned: %+v", l)
	}
}

// earlierLeader: as earlierProcess of hosts.
func earlierLeader(t *testing.T, s *store.Store) {
	mustLead(t, s, store.Bid{Worker: "d1.p1", For: time.Hour}, base)
	if l := mustLead(t, s, store.Bid{Worker: "d10.p1", For: time.Hour}, base); l.Worker != "d1.p1" {
		t.Fatalf("a daemon whose name begins like another's leads: %+v", l)
	}
	if l := mustLead(t, s, store.Bid{Worker: "d1.p2", For: time.Hour, Ended: []string{"d1.p0"}}, base); (l.Worker == "d1.p2") == s.Shared() {
		t.Fatalf("a living process of a copied folder, or an ended one of the only daemon: %+v", l)
	}
	if l := mustLead(t, s, store.Bid{Worker: "d1.p3", For: time.Hour, Ended: []string{"d1.p1", "d1.p2"}}, base); l.Worker != "d1.p3" {
		t.Fatalf("the next process does not lead at once: %+v", l)
	}
}

// deposed: whatever the former leader writes, by whatever method, is refused.
func deposed(t *testing.T, s *store.Store) {
	mustDeclare(t, s, "a")
	id := mustAdmit(t, s, environment(1)).ID
	mustPool(t, s, "p")
	former := store.AsLeader(t.Context(), mustLead(t, s, store.Bid{Worker: "d1.p1", For: over}, base).Generation)
	now := base.Add(time.Hour)
	writes := map[string]func(ctx context.Context) error{
		"an action": func(ctx context.Context) error {
			_, err := s.Change(ctx, id, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
				e.Work.Attempts++
				return store.Writes{Events: []fleet.Event{{Kind: "tried"}}}, nil
			})
			return err
		},
		"a refill": func(ctx context.Context) error {
			p, err := s.Pool(ctx, "p")
			if err != nil {
				return err
			}
			return s.Refill(ctx, "p", p.Revision, []fleet.Environment{member(2, "p")}, nil)
		},
		"a pool": func(ctx context.Context) error {
			_, err := s.ChangePool(ctx, "p", 0, func(p *fleet.Pool) ([]fleet.Event, error) {
				p.Failures++
				return nil, nil
			})
			return err
		},
		"a setting": func(ctx context.Context) error { return s.SetSetting(ctx, "plan.last", "then") },
		"a host": func(ctx context.Context) error {
			return s.NoteHostMissed(ctx, "a", true, now.Add(fleet.LostAfter*2), fleet.Event{Kind: "host.lost", Host: "a"})
		},
		"the record": func(ctx context.Context) error { return s.AppendEvents(ctx, fleet.Event{Kind: "brake.on"}) },
	}
	// The last to be tried removes the pool.
	remove := func(ctx context.Context) error { return s.RemovePool(ctx, "p", fleet.Event{Kind: "pool.removed"}) }
	next := mustLead(t, s, store.Bid{Worker: "d2.p1", For: time.Hour}, now)
	before, _, err := s.Marks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, write := range writes {
		if err := write(former); !errors.Is(err, store.ErrDeposed) || fleet.CodeOf(err) != fleet.CodeConflict {
			t.Errorf("%s by the former leader: %v, want that it is deposed", name, err)
		}
	}
	if err := remove(former); !errors.Is(err, store.ErrDeposed) {
		t.Errorf("a pool removed by the former leader: %v", err)
	}
	if after, _, err := s.Marks(t.Context()); err != nil || after != before {
		t.Errorf("the record went from %d to %d, %v", before, after, err)
	}
	for name, write := range writes {
		if err := write(store.AsLeader(t.Context(), next.Generation)); err != nil {
			t.Errorf("%s by the next leader: %v", name, err)
		}
	}
	if err := remove(store.AsLeader(t.Context(), next.Generation)); fleet.CodeOf(err) == fleet.CodeConflict && errors.Is(err, store.ErrDeposed) {
		t.Error(err)
	}
}
