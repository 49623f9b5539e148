package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

const (
	// storeProbeEvery is how often the database is probed, probeTimeout how long it may take, wholeEvery how often all of it is read.
	storeProbeEvery = 15 * time.Second
	probeTimeout    = 5 * time.Second
	wholeEvery      = 10 * time.Minute
	wholeTimeout    = time.Minute
	// pingTimeout bounds the question whether the database answers at all.
	pingTimeout = 5 * time.Second
)

// storeHealth is whether the database could be used when it was last probed. Whoever asks for it has no effect on the database.
type storeHealth struct {
	mu sync.Mutex
	// err is why it could not, whole why the last look at all of it failed.
	err, whole error
	wholeAt    time.Duration // since boot
	// leases are those that were last read, by environment, for when they cannot be read any more.
	leases map[string]fleet.Environment
	// ended are those whose sandboxes were removed while that could not be recorded, and when.
	ended map[string]time.Time
}

// probeLoop probes the database now and then, and ends leases by what is known while it cannot be used.
func (e *Engine) probeLoop(ctx context.Context) {
	loop(ctx, nil, func() time.Duration {
		e.probe(ctx)
		return e.cfg.ProbeEvery
	})
}

func (e *Engine) probe(ctx context.Context) {
	h := &e.storeHealth
	once, cancel := context.WithTimeout(ctx, probeTimeout)
	err := e.store.Probe(once)
	cancel()
	h.mu.Lock()
	saw := e.store.SawDamage()
	whole, due := h.whole, saw || h.wholeAt == 0 || sinceBoot()-h.wholeAt > wholeEvery || h.whole != nil
	h.mu.Unlock()
	if due && ctx.Err() == nil {
		all, cancel := context.WithTimeout(ctx, wholeTimeout)
		if whole = e.store.Check(all); errors.Is(whole, context.DeadlineExceeded) {
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
		h.wholeAt = sinceBoot()
	}
	h.mu.Unlock()
	switch now := errors.Join(err, whole); {
	case now != nil && before == nil:
		e.logger.Error("the database cannot be used; leases end by what is known", "error", now)
		nudge(e.checkNudge)
	case now == nil && before != nil:
		e.logger.Info("the database can be used again")
		nudge(e.checkNudge)
	}
	if err != nil || whole != nil {
		e.endByMemory(ctx)
	}
}

// checkStore is about the database: whether it answers now, and whether it could be written and was sound when last looked at.
func (e *Engine) checkStore(ctx context.Context) Check {
	return e.check(ctx, "store", "the database answers", func(ctx context.Context) error {
		e.storeHealth.mu.Lock()
		err := errors.Join(e.storeHealth.err, e.storeHealth.whole)
		e.storeHealth.mu.Unlock()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, pingTimeout)
		defer cancel()
		return e.store.Ping(ctx)
	})
}

// learn keeps what was read of leases. Those that end when they are idle are left out, as use cannot be recorded while the
// database is away; doubted ones are, as their end is not believed.
func (h *storeHealth) learn(envs ...fleet.Environment) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.leases == nil {
		h.leases = map[string]fleet.Environment{}
	}
	for _, env := range envs {
		h.leases[env.ID] = env
	}
}

// relearn replaces what was read of leases by all that there are, and forgets what is gone by its record as well.
func (h *storeHealth) relearn(envs []fleet.Environment) {
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
	h.learn(envs...)
}

// lateFor is how long past its end a lease may be before it is ended without a record: the usual way is quicker.
const lateFor = 10 * time.Second

// endByMemory removes the sandboxes of leases that ended while the database cannot be used. That they are gone is recorded once
// it can. Where daemons share a database another one may know better, and ends them.
func (e *Engine) endByMemory(ctx context.Context) {
	if e.store.Shared() {
		return
	}
	now := e.Now()
	var over []fleet.Environment
	e.storeHealth.mu.Lock()
	for _, env := range e.storeHealth.leases {
		if env.State == fleet.Leased && env.Lease.Idle == 0 && !env.Doubted && env.SandboxID != "" && env.Lease.Expired(now.Add(-lateFor)) {
			over = append(over, env)
		}
	}
	e.storeHealth.mu.Unlock()
	hosts := map[string][]fleet.Environment{}
	for _, env := range over {
		hosts[env.Host] = append(hosts[env.Host], env)
	}
	// Side by side: a host that hangs keeps no lease of another.
	err := sideBySide(e, "the end of leases without a record", slices.Collect(maps.Keys(hosts)), max(len(hosts), 1), func(host string) error {
		return e.removeUnrecorded(ctx, host, hosts[host])
	})
	if err != nil && ctx.Err() == nil {
		e.logger.Warn("leases are over, and their sandboxes could not be removed; it is tried again", "error", err)
	}
}

// noteEnded keeps when the sandbox of a lease was removed that ended without a record.
func (h *storeHealth) noteEnded(id string, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.leases, id)
	if h.ended == nil {
		h.ended = map[string]time.Time{}
	}
	h.ended[id] = at
}

// endedAt gives when this process removed the sandbox of a lease without a record.
func (h *storeHealth) endedAt(id string) (at time.Time, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at, ok = h.ended[id]
	return at, ok
}

// endedSentence is why an environment ends whose lease bothy ended without a record.
func endedSentence(at time.Time) string {
	return fmt.Sprintf("its lease ended while the database could not be used: bothy removed its sandbox at %s", at.UTC().Format(time.RFC3339))
}

// goneAtEnd is why an environment ends whose sandbox was found to be gone after the end of its lease.
const goneAtEnd = "its lease is over, and its sandbox is gone already"

// removeUnrecorded removes the sandboxes of environments on a host, as the engine lists them with their labels.
func (e *Engine) removeUnrecorded(ctx context.Context, host string, over []fleet.Environment) error {
	h, err := e.host(host)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, unrecordedFor)
	defer cancel()
	all, err := e.listed(ctx, h, "")
	if err != nil {
		return err
	}
	var errs []error
	for _, env := range over {
		for _, f := range all {
			if !f.Runs() || f.Labels[provisioner.LabelEnvironment] != env.ID || !e.labels.Verify(f.Labels) {
				continue
			}
			if err := h.Runtime.Remove(ctx, f.Ref, env.ID); err != nil {
				errs = append(errs, fmt.Errorf("remove the sandbox of %s: %w", env.Name, err))
				continue
			}
			e.logger.Warn("a lease was over and its sandbox was removed, though the database cannot be used", "environment", env.Name, "id", env.ID)
			e.storeHealth.noteEnded(env.ID, e.Now())
		}
	}
	return errors.Join(errs...)
}

// unrecordedFor bounds the removals on one host, so that the database is probed again.
const unrecordedFor = time.Minute

// damaged reports whether an error says that a record cannot be read any more: that must not keep a sandbox alive.
func damaged(err error) bool { return errors.Is(err, store.ErrDamaged) || errors.Is(err, errUnread) }
