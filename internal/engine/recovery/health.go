package recovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/engine/doctor"
	"github.com/bothy-env/bothy/internal/engine/guard"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

const (
	// probeEvery is how often the database is probed, probeTimeout how long it may take, wholeEvery how often all of it is read.
	probeEvery   = 15 * time.Second
	probeTimeout = 5 * time.Second
	wholeEvery   = 10 * time.Minute
	wholeTimeout = time.Minute
	// pingTimeout bounds the question whether the database answers at all.
	pingTimeout = 5 * time.Second
)

// Health is whether the database could be used when it was last probed. Whoever asks for it has no effect on the database.
type Health struct {
	cfg   Config
	every time.Duration

	mu sync.Mutex
	// err is why it could not, whole why the last look at all of it failed.
	err, whole error
	wholeAt    time.Duration // since boot
	// leases are those that were last read, by environment, for when they cannot be read any more.
	leases map[string]fleet.Environment
	// ended are those whose sandboxes were removed while that could not be recorded, and when.
	ended map[string]time.Time
}

// NewHealth makes it. every is the time between two probes.
func NewHealth(c Config, every time.Duration) *Health {
	return &Health{cfg: c, every: cmp.Or(every, probeEvery)}
}

// Knows reports whether a lease could be ended without the database.
func (h *Health) Knows(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.leases[id].SandboxID != ""
}

// Run probes the database now and then, and ends leases by what is known while it cannot be used.
func (h *Health) Run(ctx context.Context) {
	bus.Loop(ctx, nil, func() time.Duration {
		h.probe(ctx)
		return h.every
	})
}

func (h *Health) probe(ctx context.Context) {
	once, cancel := context.WithTimeout(ctx, probeTimeout)
	err := h.cfg.Store.Probe(once)
	cancel()
	h.mu.Lock()
	saw := h.cfg.Store.SawDamage()
	whole, due := h.whole, saw || h.wholeAt == 0 || clock.SinceBoot()-h.wholeAt > wholeEvery || h.whole != nil
	h.mu.Unlock()
	if due && ctx.Err() == nil {
		all, cancel := context.WithTimeout(ctx, wholeTimeout)
		if whole = h.cfg.Store.Check(all); errors.Is(whole, context.DeadlineExceeded) {
			whole = nil // it is large, or the machine busy: that says nothing
		}
		cancel()
	}
	if ctx.Err() != nil {
		return
	}
	h.mu.Lock()
	before := errors.Join(h.err, h.whole)
	h.err, h.whole = err, whole
	if due {
		h.wholeAt = clock.SinceBoot()
	}
	h.mu.Unlock()
	switch now := errors.Join(err, whole); {
	case now != nil && before == nil:
		h.cfg.Logger.Error("the database cannot be used; leases end by what is known", "error", now)
		h.cfg.Bus.Nudge(bus.Check)
	case now == nil && before != nil:
		h.cfg.Logger.Info("the database can be used again")
		h.cfg.Bus.Nudge(bus.Check)
	}
	if err != nil || whole != nil {
		h.endByMemory(ctx)
	}
}

// Check is about the database: whether it answers now, and whether it could be written and was sound when last looked at.
func (h *Health) Check(ctx context.Context) doctor.Check {
	if err := h.usable(ctx); err != nil {
		c := doctor.Check{Name: "store", Status: doctor.Down, Message: provisioner.Sentence(err), Hint: "requests wait until this is mended; nothing is lost"}
		if own, ok := errors.AsType[*fleet.Error](err); ok && own.Hint != "" {
			c.Hint = own.Hint
		}
		return c
	}
	return doctor.Check{Name: "store", Status: doctor.OK, Message: "the database answers"}
}

func (h *Health) usable(ctx context.Context) error {
	h.mu.Lock()
	err := errors.Join(h.err, h.whole)
	h.mu.Unlock()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return h.cfg.Store.Ping(ctx)
}

// Learn keeps what was read of leases. Those that end when they are idle are left out, as use cannot be recorded while the
// database is away; doubted ones are, as their end is not believed.
func (h *Health) Learn(envs ...fleet.Environment) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.leases == nil {
		h.leases = map[string]fleet.Environment{}
	}
	for _, env := range envs {
		h.leases[env.ID] = env
	}
}

// Relearn replaces what was read of leases by all that there are, and forgets what is gone by its record as well.
func (h *Health) Relearn(envs []fleet.Environment) {
	h.mu.Lock()
	h.leases = map[string]fleet.Environment{}
	ended := h.ended
	if h.ended = nil; len(ended) > 0 {
		h.ended = map[string]time.Time{}
		for i := range envs {
			if at, ok := ended[envs[i].ID]; ok {
				h.ended[envs[i].ID] = at
			}
		}
	}
	h.mu.Unlock()
	h.Learn(envs...)
}

// lateFor is how long past its end a lease may be before it is ended without a record: the usual way is quicker.
const lateFor = 10 * time.Second

// endByMemory removes the sandboxes of leases that ended while the database cannot be used. That they are gone is recorded once
// it can. Where daemons share a database another one may know better, and ends them.
func (h *Health) endByMemory(ctx context.Context) {
	if h.cfg.Store.Shared() {
		return
	}
	now := h.cfg.Clock.Now()
	var over []fleet.Environment
	h.mu.Lock()
	for _, env := range h.leases {
		if env.State == fleet.Leased && env.Lease.Idle == 0 && !env.Doubted && env.SandboxID != "" && env.Lease.Expired(now.Add(-lateFor)) {
			over = append(over, env)
		}
	}
	h.mu.Unlock()
	hosts := map[string][]fleet.Environment{}
	for _, env := range over {
		hosts[env.Host] = append(hosts[env.Host], env)
	}
	// Side by side: a host that hangs keeps no lease of another.
	err := guard.SideBySide(h.cfg.Guard, "the end of leases without a record", slices.Collect(maps.Keys(hosts)), max(len(hosts), 1), func(host string) error {
		return h.removeUnrecorded(ctx, host, hosts[host])
	})
	if err != nil && ctx.Err() == nil {
		h.cfg.Logger.Warn("leases are over, and their sandboxes could not be removed; it is tried again", "error", err)
	}
}

// noteEnded keeps when the sandbox of a lease was removed that ended without a record.
func (h *Health) noteEnded(id string, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.leases, id)
	if h.ended == nil {
		h.ended = map[string]time.Time{}
	}
	h.ended[id] = at
}

// EndedAt gives when this process removed the sandbox of a lease without a record.
func (h *Health) EndedAt(id string) (at time.Time, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at, ok = h.ended[id]
	return at, ok
}

// removeUnrecorded removes the sandboxes of environments on a host, as the engine lists them with their labels.
func (h *Health) removeUnrecorded(ctx context.Context, host string, over []fleet.Environment) error {
	at := h.cfg.Hosts.Find(host)
	if at == nil {
		return target.Unreachable(host)
	}
	ctx, cancel := context.WithTimeout(ctx, unrecordedFor)
	defer cancel()
	all, err := target.Listed(ctx, at, h.cfg.Instance, "")
	if err != nil {
		return err
	}
	var errs []error
	for _, env := range over {
		for _, f := range all {
			if !f.Runs() || f.Labels[provisioner.LabelEnvironment] != env.ID || !h.cfg.Labels.Verify(f.Labels) {
				continue
			}
			if err := at.Runtime.Remove(ctx, f.Ref, env.ID); err != nil {
				errs = append(errs, fmt.Errorf("remove the sandbox of %s: %w", env.Name, err))
				continue
			}
			h.cfg.Logger.Warn("a lease was over and its sandbox was removed, though the database cannot be used", "environment", env.Name, "id", env.ID)
			h.noteEnded(env.ID, h.cfg.Clock.Now())
		}
	}
	return errors.Join(errs...)
}

// unrecordedFor bounds the removals on one host, so that the database is probed again.
const unrecordedFor = time.Minute
