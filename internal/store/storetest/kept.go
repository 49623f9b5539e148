package storetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// Kept tries random histories of everything that writes rows: after each step, rows that are kept and read by what
// changed are those of a full read.
func Kept(t *testing.T, open Open) {
	s := open(t)
	listen(t, s)
	keptHistories(t, s, s)
	keptAtRest(t, s)
}

// keptAtRest: the probe of the database, the one write of a daemon at rest, has nobody read all rows again.
func keptAtRest(t *testing.T, s *store.Store) {
	t.Helper()
	admitWork(t, s, 1, fleet.Create)
	k := s.Keep()
	read := func() (fulls int) {
		t.Helper()
		if _, err := k.Live(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, fulls = k.Counts()
		return fulls
	}
	before := read()
	if err := s.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if fulls := read(); fulls != before {
		t.Error("all rows were read again after a probe")
	}
}

// sharedKept is Kept where another daemon writes.
func sharedKept(t *testing.T, daemons [2]*store.Store) {
	stop := listen(t, daemons[0])
	keptHistories(t, daemons[0], daemons[1])

	// What is written while nobody listens is seen afterwards, whether it is asked for meanwhile or not.
	k := daemons[0].Keep()
	id := admitWork(t, daemons[1], 1, fleet.Create).ID
	read := func(want int) {
		t.Helper()
		rows, err := k.Live(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, env := range rows {
			if env.ID == id && env.Work.Attempts != want {
				t.Errorf("%d attempts, want %d", env.Work.Attempts, want)
			}
		}
	}
	read(0)
	stop()
	attempts := func(n int) { mustChange(t, daemons[1], id, func(e *fleet.Environment) { e.Work.Attempts = n }) }
	attempts(1)
	read(1)
	attempts(2)
	listen(t, daemons[0])
	read(2)
}

// listen hears the wakes of a store until it is stopped or the test ends, and returns once it does.
func listen(t *testing.T, s *store.Store) (end func()) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background()) // the store closes after the test's own has ended
	heard, once := make(chan struct{}), sync.Once{}
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Wakes(ctx, func(string) { once.Do(func() { close(heard) }) }, func(string) {}) }) // its error is always nil
	end = func() {
		stop()
		wg.Wait()
	}
	t.Cleanup(end)
	if !s.Shared() {
		return end
	}
	select {
	case <-heard:
	case <-time.After(10 * time.Second):
		t.Fatal("it does not listen")
	}
	return end
}

// keptHistories reads at one daemon what another one writes.
func keptHistories(t *testing.T, reader, writer *store.Store) {
	n := 0
	mustPool(t, writer, "model")
	mustDeclare(t, writer, "kept")
	k := reader.Keep()
	rapid.Check(t, func(rt *rapid.T) {
		n++
		h := &keptHistory{history: history{s: writer, n: &n, tenant: fmt.Sprintf("kept-%d", n), at: base, keys: map[string]string{}}}
		defer h.end(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"":          func(rt *rapid.T) { mustBeLive(rt, k, reader) },
			"refill":    h.refill,
			"request":   h.request,
			"replace":   h.replace,
			"move":      h.move,
			"resize":    h.resize,
			"extend":    h.extend,
			"place":     h.place,
			"take":      h.take,
			"heartbeat": h.heartbeat,
			"take over": h.takeOver,
			"doubt":     h.doubt,
			"touch":     h.touch,
		})
	})
	if reads, fulls := k.Counts(); fulls > reads/4 {
		t.Errorf("of %d reads %d were of all rows: that changed ones were read was hardly tested", reads, fulls)
	}
}

// mustBeLive compares kept rows with all that live.
func mustBeLive(rt *rapid.T, k *store.Kept, s *store.Store) {
	kept, err := k.Live(rt.Context())
	if err != nil {
		rt.Fatalf("read what is kept: %v", err)
	}
	want, err := s.Live(rt.Context())
	if err != nil {
		rt.Fatalf("read all: %v", err)
	}
	got := slices.SortedFunc(slices.Values(kept), func(a, b fleet.Environment) int { return cmp.Compare(a.ID, b.ID) })
	same(rt, got, want)
}

// keptHistory adds what happens to work.
type keptHistory struct {
	history
	processes int
}

// end ends everything, so that the next history's reads of all rows stay small.
func (h *keptHistory) end(rt *rapid.T) {
	for _, id := range h.ids {
		for _, state := range []fleet.State{fleet.Destroying, fleet.Destroyed} {
			if mustGet(rt, h.s, id).State.CanBecome(state) {
				mustChange(rt, h.s, id, func(e *fleet.Environment) { e.State = state })
			}
		}
	}
}

// place puts an environment on a host, with something to do.
func (h *keptHistory) place(rt *rapid.T) {
	env := h.one(rt)
	if !env.State.Live() {
		rt.Skip("it is gone")
	}
	mustChange(rt, h.s, env.ID, func(e *fleet.Environment) { e.Host, e.Work.Action = "kept", fleet.Destroy })
}

func (h *keptHistory) take(rt *rapid.T) {
	if _, _, err := h.s.TakeWork(rt.Context(), h.worker(), []string{"kept"}, h.at, h.at.Add(time.Minute)); err != nil {
		rt.Fatalf("take work: %v", err)
	}
}

func (h *keptHistory) worker() string { return fmt.Sprintf("%s.%d", h.tenant, h.processes) }

func (h *keptHistory) heartbeat(rt *rapid.T) {
	env := h.one(rt)
	if env.Work.Worker == "" {
		rt.Skip("nobody works on it")
	}
	h.at = h.at.Add(time.Second)
	if err := h.s.Heartbeat(rt.Context(), env.ID, env.Work.Generation, h.at.Add(time.Hour)); err != nil {
		rt.Fatalf("heartbeat: %v", err)
	}
}

// takeOver has another process hold the host, which frees what was worked on.
func (h *keptHistory) takeOver(rt *rapid.T) {
	h.processes++
	h.at = h.at.Add(time.Hour)
	hold := store.Hold{Worker: h.worker(), Names: []string{"kept"}}
	if _, err := h.s.HoldHosts(rt.Context(), hold, h.at, h.at.Add(time.Minute)); err != nil {
		rt.Fatalf("hold: %v", err)
	}
}

func (h *keptHistory) doubt(rt *rapid.T) {
	if rapid.IntRange(0, 3).Draw(rt, "doubt") > 0 {
		rt.Skip("it has all rows read, so it is rare: else little of what changes is read by itself")
	}
	ev := fleet.Event{At: h.at, Actor: "system", Kind: "safe-mode.on", Message: "the records were set back"}
	was, err := h.s.Setting(rt.Context(), "kept-test")
	if err != nil {
		rt.Fatalf("read setting: %v", err)
	}
	if done, err := h.s.Doubt(rt.Context(), h.at.Add(time.Hour), "kept-test", was, "{}", ev); err != nil || !done {
		rt.Fatalf("doubt: done: %t, %v", done, err)
	}
}

// touch writes a row without an entry of the record.
func (h *keptHistory) touch(rt *rapid.T) {
	env := h.one(rt)
	mustChange(rt, h.s, env.ID, func(e *fleet.Environment) { e.Lease.ActiveAt = h.at.Add(time.Duration(e.Revision) * time.Second) })
}
