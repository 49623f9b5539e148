package storetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// Daemons is the suite of several daemons that share one database. database gives the address of an empty one.
func Daemons(t *testing.T, database func(t testing.TB) string) {
	// two gives the stores of two daemons.
	two := func(t *testing.T) [2]*store.Store {
		t.Helper()
		dsn := database(t)
		return [2]*store.Store{openDSN(t, dsn), openDSN(t, dsn)}
	}
	t.Run("work once", func(t *testing.T) { sharedWorkOnce(t, two(t)) })
	t.Run("hosts once", func(t *testing.T) { sharedHostsOnce(t, two(t)) })
	t.Run("one claimant of 1,000", func(t *testing.T) { d := two(t); oneClaimant(t, d[:]...) })
	t.Run("two claimants do not wait for each other", func(t *testing.T) { twoAtOnce(t, two(t)) })
	t.Run("200 requests for 10 slots", func(t *testing.T) {
		// As requests share transactions, few of a round meet: one round alone misses a lock that is not there half of the time.
		for round := range 8 {
			t.Run(fmt.Sprint(round), func(t *testing.T) { d := two(t); tenSlots(t, d[:]...) })
		}
	})
	t.Run("changes add up", func(t *testing.T) { sharedChanges(t, two(t)) })
	t.Run("lead", func(t *testing.T) { sharedLead(t, two(t)) })
	t.Run("kept", func(t *testing.T) { sharedKept(t, two(t)) })
	t.Run("wakes", func(t *testing.T) { sharedWakes(t, two(t)) })
}

// openDSN opens a store and closes it when the test ends.
func openDSN(t *testing.T, dsn string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// sharedWorkOnce: 8 workers of two daemons take 200 items, each exactly once.
func sharedWorkOnce(t *testing.T, daemons [2]*store.Store) {
	const items, workers = 200, 8
	for i := range items {
		admitWork(t, daemons[0], i, fleet.Create)
	}
	now := base.Add(time.Hour)
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		taken = map[string]int{}
	)
	for w := range workers {
		wg.Go(func() {
			for {
				env, ok, err := daemons[w%2].TakeWork(t.Context(), fmt.Sprintf("d%d.p%d", w%2, w), hosts, now, now.Add(time.Minute))
				if err != nil {
					t.Error(err)
				}
				if !ok {
					return
				}
				mu.Lock()
				taken[env.ID]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for id, n := range taken {
		if n != 1 {
			t.Errorf("%s was handed out %d times", id, n)
		}
	}
	if len(taken) != items {
		t.Fatalf("%d of %d items were handed out", len(taken), items)
	}
}

// sharedHostsOnce: many processes ask for the same hosts at once; each host has one.
func sharedHostsOnce(t *testing.T, daemons [2]*store.Store) {
	names := []string{"a", "b", "c"}
	mustDeclare(t, daemons[0], names...)
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		holders = map[string][]string{}
	)
	for n := range 16 {
		wg.Go(func() {
			worker := fmt.Sprintf("d%d.p", n)
			held, err := daemons[n%2].HoldHosts(t.Context(), store.Hold{Worker: worker, Names: names}, base, base.Add(time.Minute))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(held.Hosts)+len(held.Others) != len(names) {
				t.Errorf("%s is told of %+v", worker, held)
			}
			for _, h := range held.Hosts {
				holders[h.Name] = append(holders[h.Name], worker)
			}
		})
	}
	wg.Wait()
	for _, name := range names {
		if got := hostNamed(t, daemons[1], name); len(holders[name]) != 1 || got.Worker != holders[name][0] || got.Generation != 1 {
			t.Errorf("%s was given to %v and is %+v", name, holders[name], got)
		}
	}
}

// sharedChanges: two daemons write one row at once, and no write is lost.
func sharedChanges(t *testing.T, daemons [2]*store.Store) {
	const each = 40
	id := mustAdmit(t, daemons[0], environment(1)).ID
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for range each {
				_, err := daemons[w%2].Change(t.Context(), id, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
					e.Work.Attempts++
					return store.Writes{Events: []fleet.Event{{Kind: "tried"}}}, nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := mustGet(t, daemons[0], id)
	if got.Work.Attempts != 4*each || got.Revision != 4*each+1 {
		t.Fatalf("after %d writes there are %d, at revision %d", 4*each, got.Work.Attempts, got.Revision)
	}
}

// sharedLead: of many that ask at once one leads, and whoever resigned has let go when that comes back.
func sharedLead(t *testing.T, daemons [2]*store.Store) {
	leads := func(n int, worker string) bool {
		t.Helper()
		l, _, err := daemons[n].Lead(t.Context(), store.Bid{Worker: worker, For: time.Hour}, base)
		if err != nil {
			t.Error(err)
		}
		return l.Worker == worker
	}
	var wg sync.WaitGroup
	var count atomic.Int32
	for n := range 16 {
		wg.Go(func() {
			if leads(n%2, fmt.Sprintf("d%d.p", n)) {
				count.Add(1)
			}
		})
	}
	wg.Wait()
	if l, _, err := daemons[0].Leader(t.Context(), base); err != nil || count.Load() != 1 || l.Generation != 1 {
		t.Fatalf("%d lead, the row says %+v, %v", count.Load(), l, err)
	} else if err := daemons[1].Resign(t.Context(), l.Worker); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		for n, worker := range []string{"a.p", "b.p"} {
			if !leads(n, worker) || leads(1-n, "c.p") {
				t.Fatalf("after the other resigned %s does not lead, or not alone", worker)
			}
			if err := daemons[n].Resign(t.Context(), worker); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// sharedWakes: a daemon hears what another has changed, and not itself.
func sharedWakes(t *testing.T, daemons [2]*store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	var heard [2]chan string
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for i := range heard {
		heard[i] = make(chan string, 100)
		wg.Go(func() {
			if err := daemons[i].Wakes(ctx, func(id string) { heard[i] <- id }, func(string) {}); err != nil {
				t.Error(err)
			}
		})
	}
	// expect reads one wake.
	expect := func(daemon int, want string) {
		t.Helper()
		select {
		case got := <-heard[daemon]:
			if got != want {
				t.Fatalf("daemon %d heard of %q, want %q", daemon, got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("daemon %d did not hear of %q", daemon, want)
		}
	}
	expect(0, "") // it listens now
	expect(1, "")

	mustDeclare(t, daemons[0], "a")
	id := admitWork(t, daemons[0], 1, fleet.Create).ID
	expect(1, id)
	now := base.Add(time.Hour)
	mustTake(t, daemons[0], "d0.p", now, now.Add(time.Minute))
	expect(1, id)
	if err := daemons[0].Heartbeat(t.Context(), id, 1, now.Add(time.Hour)); err != nil { // of no interest to others
		t.Fatal(err)
	}
	if _, err := daemons[0].DrainHost(t.Context(), "a", true, fleet.Event{Kind: "host.drained", Host: "a"}); err != nil {
		t.Fatal(err)
	}
	expect(1, "")
	// Refused, so nothing changed.
	if _, err := daemons[0].Change(t.Context(), id, store.Expect{Revision: 1}, nil); err == nil {
		t.Fatal("a write at an old revision went through")
	}
	// The other way round; wakes come in the order of commits, so the first has heard nothing of its own before.
	theirs := admitWork(t, daemons[1], 2, fleet.Create).ID
	expect(0, theirs)
	mustChange(t, daemons[0], id, func(e *fleet.Environment) { e.Work.Attempts = 8 })
	expect(1, id)
}
