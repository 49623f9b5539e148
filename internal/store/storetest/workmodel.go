package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// model is what one work item should look like, beside the store that holds it.
type model struct {
	s   *store.Store
	id  string
	now time.Time

	revision, generation int64
	worker               string
	until                time.Time
	wanted               bool // an action is recorded
	// claims are all generations that were ever handed out; the last may be the holder's.
	claims []int64
	// serial is the newest saved one, 0 before the first.
	serial int64
	// processes counts those that served the host.
	processes int
}

// workModel tries random histories of one work item and compares every step
// with a model of a few lines: whatever the order, only the holder of the newest
// generation writes.
func workModel(t *testing.T, open Open) {
	s := open(t)
	if err := s.DeclareHost(t.Context(), fleet.Host{Name: host}); err != nil {
		t.Fatal(err)
	}
	n, processes := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		m := &model{s: s, id: admitWork(rt, s, n, fleet.Create).ID, now: base.Add(time.Hour), revision: 1, wanted: true, processes: processes}
		// Out of the way of the next history, also when this one fails.
		defer func() {
			processes = m.processes
			mustChange(rt, s, m.id, func(e *fleet.Environment) { e.Work.Action, e.Work.Worker = fleet.None, "" })
		}()
		rt.Repeat(map[string]func(*rapid.T){
			"":          m.check,
			"wait":      func(rt *rapid.T) { m.now = m.now.Add(time.Duration(rapid.IntRange(1, 60).Draw(rt, "s")) * time.Second) },
			"take":      m.take,
			"heartbeat": m.heartbeat,
			"write":     m.write,
			"finish":    m.finish,
			"ask again": m.askAgain,
			"save":      m.save,
			"restart":   m.restart,
		})
	})
}

// claim draws a generation as some worker, dead or alive, may believe it.
func (m *model) claim(rt *rapid.T) (generation int64, holds bool) {
	if len(m.claims) == 0 {
		rt.Skip("nothing was taken yet")
	}
	generation = rapid.SampledFrom(m.claims).Draw(rt, "generation")
	return generation, generation == m.generation
}

func (m *model) check(rt *rapid.T) {
	got := mustGet(rt, m.s, m.id)
	if got.Revision != m.revision || got.Work.Generation != m.generation || got.Work.Worker != m.worker ||
		!got.Work.Until.Equal(m.until) || (got.Work.Action != fleet.None) != m.wanted {
		rt.Fatalf("revision %d, work %+v; the model says %+v", got.Revision, got.Work, *m)
	}
}

func (m *model) take(rt *rapid.T) {
	worker := fmt.Sprintf("w%d", len(m.claims))
	got, ok, err := m.s.TakeWork(rt.Context(), worker, hosts, m.now, m.now.Add(30*time.Second))
	if err != nil {
		rt.Fatal(err)
	}
	if want := m.wanted && (m.worker == "" || m.until.Before(m.now)); ok != want || (ok && got.ID != m.id) {
		rt.Fatalf("take gave %v (%q), want %v", ok, got.ID, want)
	}
	if ok {
		m.revision, m.generation, m.worker, m.until = m.revision+1, m.generation+1, worker, m.now.Add(30*time.Second)
		m.claims = append(m.claims, m.generation)
	}
}

func (m *model) heartbeat(rt *rapid.T) {
	generation, holds := m.claim(rt)
	until := m.now.Add(time.Minute)
	m.fenced(rt, m.s.Heartbeat(rt.Context(), m.id, generation, until), holds && m.worker != "")
	if holds && m.worker != "" {
		m.until = until
	}
}

func (m *model) write(rt *rapid.T) {
	generation, holds := m.claim(rt)
	_, err := m.s.Change(rt.Context(), m.id, store.Expect{Generation: generation}, func(e *fleet.Environment) (store.Writes, error) {
		e.Work.Attempts++
		return store.Writes{}, nil
	})
	m.fenced(rt, err, holds)
	if holds {
		m.revision++
	}
}

func (m *model) finish(rt *rapid.T) {
	generation, holds := m.claim(rt)
	got, err := m.s.Change(rt.Context(), m.id, store.Expect{Generation: generation}, func(e *fleet.Environment) (store.Writes, error) {
		e.Work.Action, e.Work.Worker, e.Work.Until = fleet.None, "", time.Time{}
		return store.Writes{}, nil
	})
	m.fenced(rt, err, holds)
	if holds {
		m.wanted, m.worker, m.until, m.revision = false, "", time.Time{}, got.Revision
	}
}

func (m *model) askAgain(rt *rapid.T) {
	if m.wanted {
		rt.Skip("already asked for")
	}
	revision := m.revision + rapid.Int64Range(-1, 0).Draw(rt, "stale")
	_, err := m.s.Change(rt.Context(), m.id, store.Expect{Revision: revision}, func(e *fleet.Environment) (store.Writes, error) {
		e.Work.Action = fleet.Create
		return store.Writes{}, nil
	})
	if (revision == m.revision) != (err == nil) || (err != nil && !errors.Is(err, store.ErrMoved)) {
		rt.Fatalf("a write at revision %d of %d: %v", revision, m.revision, err)
	}
	if err == nil {
		m.wanted, m.revision = true, m.revision+1
	}
}

func (m *model) save(rt *rapid.T) {
	generation, holds := m.claim(rt)
	serial := max(1, m.serial+rapid.Int64Range(-1, 2).Draw(rt, "serial"))
	err := m.s.SaveState(rt.Context(), m.id, generation, serial, []byte("state"))
	if holds && serial < m.serial {
		if fleet.CodeOf(err) != fleet.CodeConflict || errors.Is(err, store.ErrFenced) {
			rt.Fatalf("serial %d after %d: %v", serial, m.serial, err)
		}
		return
	}
	m.fenced(rt, err, holds)
	if holds {
		m.serial = serial
	}
	if m.serial > 0 {
		if _, newest, err := m.s.LatestState(rt.Context(), m.id); err != nil || newest != m.serial {
			rt.Fatalf("the newest state is %d (%v), want %d", newest, err, m.serial)
		}
	}
}

// restart is another process of a daemon that takes the host over, and with it the work.
func (m *model) restart(rt *rapid.T) {
	before := fmt.Sprintf("daemon.%d", m.processes)
	m.processes++
	want := store.Hold{Worker: fmt.Sprintf("daemon.%d", m.processes), Names: hosts, Ended: []string{before}}
	held, err := m.s.HoldHosts(rt.Context(), want, m.now, m.now.Add(time.Minute))
	// Whoever renews its work keeps it; the only daemon's earlier process does not.
	free := m.worker != "" && (m.until.Before(m.now) || !m.s.Shared() && fleet.DaemonOf(m.worker) == "daemon")
	if err != nil || len(held.Hosts) != 1 || (held.Freed == 1) != free {
		rt.Fatalf("held %+v, %v; want to free: %v", held, err, free)
	}
	if free {
		m.revision, m.generation, m.worker, m.until = m.revision+1, m.generation+1, "", time.Time{}
	}
}

// fenced checks that a write went through exactly when its writer may write.
func (m *model) fenced(rt *rapid.T, err error, may bool) {
	rt.Helper()
	if may && err != nil {
		rt.Fatalf("the holder was refused: %v", err)
	}
	if !may && !errors.Is(err, store.ErrFenced) {
		rt.Fatalf("one who may not write got %v, want fenced", err)
	}
}
