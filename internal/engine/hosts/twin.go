package hosts

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/doctor"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// A state directory holds its daemon's id, so a copy of it (a cloned machine, a copied folder) makes two living processes of one
// id. Holds and work are kept by worker, which is another for each process, and nobody takes from a worker that may live: so two
// such processes do each other no harm. They are kept apart all the same, as nobody meant them to be one.

// Twins tells of other processes that have this daemon's id.
type Twins struct {
	cfg  Config
	twin twin
}

// twin is another living process that has this daemon's id.
type twin struct {
	mu sync.Mutex
	// worker is who was seen first, with the end of its time; alive says that it went on from there.
	worker string
	until  time.Time
	alive  bool
}

// see notes workers of this daemon's id that are not this process, by the end of their time. It reports whether that is the first
// proof that one lives: an earlier process, which may have ended, renews nothing.
func (t *twin) see(worker string, until time.Time) (found bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.worker != worker {
		t.worker, t.until = worker, until
		return false
	}
	found = !t.alive && until.After(t.until)
	t.alive = t.alive || found
	return found
}

func (t *twin) living() (worker string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.alive {
		return t.worker
	}
	return ""
}

// LivingTwin gives a worker whose time is not over, that has the daemon id of worker and is none of those that are known to have ended; "" when
// there is none. A daemon asks before it begins: what it finds may be the process of a copied state directory.
func LivingTwin(ctx context.Context, db *store.Store, worker string, ended []string) (string, error) {
	now, shared, err := db.Now(ctx)
	if err != nil || !shared {
		return "", err
	}
	hosts, err := db.Hosts(ctx)
	if err != nil {
		return "", err
	}
	leader, at, err := db.Leader(ctx, now)
	if err != nil {
		return "", err
	}
	mine := func(w string) bool {
		return w != worker && fleet.DaemonOf(w) == fleet.DaemonOf(worker) && !slices.Contains(ended, w)
	}
	if leader.Leads(at) && mine(leader.Worker) {
		return leader.Worker, nil
	}
	for _, h := range hosts {
		if h.Served(now) && mine(h.Worker) {
			return h.Worker, nil
		}
	}
	return "", nil
}

// See looks among hosts that others hold for another process of this daemon's id.
func (t *Twins) See(others []fleet.Host) {
	for _, h := range others {
		if fleet.DaemonOf(h.Worker) != fleet.DaemonOf(t.cfg.Worker) || !t.twin.see(h.Worker, h.Until) {
			continue
		}
		t.cfg.Logger.Error("another process runs under this daemon's id: its state directory was copied", "worker", h.Worker, "host", h.Name)
		t.cfg.Bus.Nudge(bus.Check)
		if t.cfg.NewID == nil {
			continue
		}
		if err := t.cfg.NewID(); err != nil {
			t.cfg.Logger.Error("taking another id for the next start failed", "error", err)
		}
	}
}

// Check tells of another process that has this daemon's id, for as long as it lives.
func (t *Twins) Check(ctx context.Context) doctor.Check {
	const hint = "a state directory belongs to one daemon: for another one copy the file key only; see which run: bothy host ls"
	if worker := t.twin.living(); worker != "" {
		return doctor.Check{
			Name: "identity", Status: doctor.Warning,
			Message: fmt.Sprintf("another process (%s) runs under this daemon's id: its state directory was copied. From its next start on this daemon has another id", worker),
			Hint:    hint,
		}
	}
	if t.cfg.Twin != "" && t.holdsSomething(ctx, t.cfg.Twin) {
		return doctor.Check{
			Name: "identity", Status: doctor.Warning,
			Message: fmt.Sprintf("the id of this daemon's state directory is in use by another process (%s), so it has taken a new one", t.cfg.Twin),
			Hint:    hint,
		}
	}
	return doctor.Check{Name: "identity", Status: doctor.OK, Message: "no other process runs under this daemon's id"}
}

// holdsSomething reports whether a worker leads, or serves a host, now.
func (t *Twins) holdsSomething(ctx context.Context, worker string) bool {
	now := t.cfg.Clock.Now()
	if l, at, err := t.cfg.Store.Leader(ctx, now); err == nil && l.Leads(at) && l.Worker == worker {
		return true
	}
	hosts, err := t.cfg.Store.Hosts(ctx)
	return err == nil && slices.ContainsFunc(hosts, func(h fleet.Host) bool { return h.Worker == worker && h.Served(now) })
}
