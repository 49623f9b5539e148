package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

func prune(t *testing.T, open Open) {
	t.Run("events", func(t *testing.T) { pruneEvents(t, open(t)) })
	t.Run("logs and environments", func(t *testing.T) { pruneEnvironments(t, open(t)) })
	t.Run("spend adds up", func(t *testing.T) { pruneSpend(t, open(t)) })
	t.Run("receipts", func(t *testing.T) { pruneReceipts(t, open(t)) })
}

// hours is a moment so many hours after base.
func hours(n int) time.Time { return base.Add(time.Duration(n) * time.Hour) }

// mustTell records an event.
func mustTell(t testing.TB, s *store.Store, at time.Time, id, kind string) {
	t.Helper()
	if err := s.AppendEvents(t.Context(), fleet.Event{At: at, EnvironmentID: id, Kind: kind}); err != nil {
		t.Fatal(err)
	}
}

// pruneAll runs steps until nothing is left to do, and gives how many were removed. Each step is bounded.
func pruneAll(t testing.TB, most int, step func(after int64) (store.Pruned, error)) (sum int) {
	t.Helper()
	var after int64
	for range 1000 {
		p, err := step(after)
		if err != nil {
			t.Fatal(err)
		}
		if p.Count > most {
			t.Fatalf("one step removed %d, want %d at most", p.Count, most)
		}
		sum, after = sum+p.Count, p.After
		if !p.More {
			return sum
		}
	}
	t.Fatal("it does not end")
	return 0
}

// pruneEvents: what is older than a moment goes, but for what lives or has ended since, and the marks stay.
func pruneEvents(t *testing.T, s *store.Store) {
	live, late := admitIn(t, s, 1, fleet.Leased), admitIn(t, s, 2, fleet.Destroying)
	old := admitIn(t, s, 3, fleet.Destroying)
	mustChange(t, s, late.ID, func(e *fleet.Environment) { e.State, e.DestroyedAt = fleet.Destroyed, hours(50) })
	mustChange(t, s, old.ID, func(e *fleet.Environment) { e.State, e.DestroyedAt = fleet.Destroyed, hours(5) })
	for i := range 12 {
		for _, id := range []string{live.ID, late.ID, old.ID, "", "nobody"} {
			mustTell(t, s, hours(10*i), id, fmt.Sprint("at ", 10*i))
		}
	}
	marks, _, err := s.Marks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	step := func(after int64) (store.Pruned, error) { return s.PruneEvents(t.Context(), hours(45), after, 3) }
	// Of old, of nobody and of none: those of 0 to 40, and that old was asked for.
	if n := pruneAll(t, 3, step); n != 3*5+1 {
		t.Errorf("%d were removed", n)
	}
	for id, want := range map[string]int{live.ID: 13, late.ID: 13, old.ID: 7, "nobody": 7} {
		left, err := s.EventsBy(t.Context(), store.EventFilter{EnvironmentID: id, Limit: store.MaxLimit})
		if err != nil || len(left) != want {
			t.Errorf("of %q %d are left, %v; want %d", id, len(left), err, want)
		}
	}
	if n := pruneAll(t, 3, step); n != 0 {
		t.Errorf("%d more were removed", n)
	}
	// All that is left may go, and numbers go on.
	pruneAll(t, 3, func(after int64) (store.Pruned, error) { return s.PruneEvents(t.Context(), hours(1000), after, 3) })
	mustTell(t, s, hours(1001), "", "next")
	next, err := s.EventsBy(t.Context(), store.EventFilter{Limit: 1, Newest: true})
	if err != nil || len(next) != 1 || next[0].Seq != marks+1 {
		t.Errorf("the next is %+v, %v; want number %d", next, err, marks+1)
	}
}

// pruneEnvironments: rows go with all their parts once their logs are gone, and their keys are free again.
func pruneEnvironments(t *testing.T, s *store.Store) {
	request := environment(1)
	request.IdempotencyKey = "once"
	keyed := mustAdmit(t, s, request)
	for n := 2; n < 9; n++ {
		mustAdmit(t, s, environment(n))
	}
	var lines []fleet.LogLine
	for i := range 25 {
		lines = append(lines, fleet.LogLine{At: base, Source: "bothy", Text: fmt.Sprint(i)})
	}
	for n := 1; n < 9; n++ {
		id := environment(n).ID
		if err := s.AppendLog(t.Context(), id, lines); err != nil {
			t.Fatal(err)
		}
		mustChange(t, s, id, func(e *fleet.Environment) { e.Work.Generation = 1 })
		if err := s.SaveState(t.Context(), id, 1, 1, []byte("sealed")); err != nil {
			t.Fatal(err)
		}
		if n == 8 {
			continue // it lives
		}
		mustChange(t, s, id, func(e *fleet.Environment) { e.State = fleet.Destroying })
		mustChange(t, s, id, func(e *fleet.Environment) { e.State, e.DestroyedAt = fleet.Destroyed, hours(10*n) })
	}
	rows := func(before int) int {
		return pruneAll(t, 2, func(int64) (store.Pruned, error) { return s.PruneEnvironments(t.Context(), hours(before), 2) })
	}
	if n := rows(55); n != 0 {
		t.Errorf("%d rows went before their logs", n)
	}
	logs := func(after int64) (store.Pruned, error) { return s.PruneLogs(t.Context(), hours(55), after, 10) }
	if n := pruneAll(t, 10, logs); n != 5*25 {
		t.Errorf("%d lines were removed", n)
	}
	if n := rows(45); n != 4 {
		t.Errorf("%d rows were removed", n)
	}
	all, _, err := s.List(t.Context(), store.Filter{IncludeGone: true})
	if err != nil || !slices.Equal(ids(all), []string{environment(8).ID, environment(7).ID, environment(6).ID, environment(5).ID}) {
		t.Errorf("left are %v, %v", ids(all), err)
	}
	for n, want := range map[int]int{5: 0, 6: 25, 8: 25} {
		if left, err := s.Log(t.Context(), environment(n).ID, 0, time.Time{}, 0); err != nil || len(left) != want {
			t.Errorf("of %d there are %d lines, %v; want %d", n, len(left), err, want)
		}
	}
	again := environment(20)
	again.IdempotencyKey = "once"
	if got := mustAdmit(t, s, again); got.ID == keyed.ID {
		t.Error("the key of a pruned row gave that row")
	}
	mustAddUp(t, s)
}

// pruneSpend: what was spent is right for every period that begins after what is pruned, and what is held stays.
func pruneSpend(t *testing.T, s *store.Store) {
	month := func(n int) time.Time { return time.Date(2026, time.Month(n), 3, 0, 0, 0, 0, time.UTC) }
	for n := 1; n <= 4; n++ {
		env := environment(n)
		env.HeldAt, env.CreatedAt, env.UpdatedAt, env.HeldMicros, env.HeldFor = month(n), month(n), month(n), 1000, time.Hour
		env = mustAdmit(t, s, env)
		if n == 1 {
			continue // it lives on
		}
		mustBook(t, s, env.ID, leasedTime(env, month(n), month(n).Add(time.Minute), 10))
		mustChange(t, s, env.ID, func(e *fleet.Environment) { e.State = fleet.Destroying })
		mustChange(t, s, env.ID, func(e *fleet.Environment) { e.State, e.DestroyedAt = fleet.Destroyed, month(n).Add(time.Hour) })
	}
	mustAddUp(t, s)
	if _, err := s.SumEntries(t.Context(), month(12), 1000); err != nil {
		t.Fatal(err)
	}
	before := month(3).AddDate(0, 0, 10)
	if n := pruneAll(t, 1, func(int64) (store.Pruned, error) { return s.PruneEntries(t.Context(), before, 1) }); n != 6 {
		t.Errorf("%d entries were removed", n) // what two had held, a charge, and what was given back
	}
	if n := pruneAll(t, 1, func(int64) (store.Pruned, error) { return s.PruneEnvironments(t.Context(), before, 1) }); n != 2 {
		t.Errorf("%d rows were removed", n)
	}
	mustAddUp(t, s)
	for n, want := range map[int]int64{1: 1000, 2: 0, 3: 10, 4: 10} {
		usage, err := s.UsageOf(t.Context(), []fleet.Scope{ofUser}, month(n))
		if err != nil || usage[0].Usage.MicrosThisMonth != want {
			t.Errorf("in month %d %+v, %v; want %d", n, usage, err, want)
		}
	}
	// The one that lives ends, long after its period was pruned.
	mustChange(t, s, environment(1).ID, func(e *fleet.Environment) { e.State = fleet.Destroying })
	mustChange(t, s, environment(1).ID, func(e *fleet.Environment) { e.State, e.DestroyedAt = fleet.Destroyed, month(5) })
	mustAddUp(t, s)
}

// pruneReceipts: the oldest go, the newest never, and what is left is a chain that goes on.
func pruneReceipts(t *testing.T, s *store.Store) {
	at := func(n int) func(fleet.Receipt) (fleet.Receipt, error) {
		return func(next fleet.Receipt) (fleet.Receipt, error) {
			r, err := sign(next)
			r.At = hours(n)
			return r, err
		}
	}
	for n := 1; n <= 6; n++ {
		id := admitIn(t, s, n, fleet.Destroying).ID
		if err := gone(s, t, id, at(10*n)); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.Receipts(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	step := func(before int) int {
		return pruneAll(t, 2, func(int64) (store.Pruned, error) { return s.PruneReceipts(t.Context(), hours(before), 2) })
	}
	if n := step(35); n != 3 {
		t.Errorf("%d were removed", n)
	}
	left, err := s.Receipts(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	same(t, left, all[3:])
	if n := step(1000); n != 2 {
		t.Errorf("%d were removed, the newest among them", n)
	}
	if err := gone(s, t, admitIn(t, s, 7, fleet.Destroying).ID, at(70)); err != nil {
		t.Fatal(err)
	}
	left, err = s.Receipts(t.Context(), 0, 0)
	if err != nil || len(left) != 2 || left[1].Seq != 7 || left[1].PrevHash != left[0].Hash || left[0].Hash != all[5].Hash {
		t.Errorf("the chain goes on with %+v, %v", left, err)
	}
}
