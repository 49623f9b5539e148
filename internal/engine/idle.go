package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// usedBytes is how much traffic between two readings counts as use. Less is the noise of an idle network.
const usedBytes = 10 << 10

// Touch notes that an environment is used, so that it does not end as idle.
//
// Errors: not_found, policy (it is not theirs and not shared with them), conflict (not leased).
func (e *Engine) Touch(ctx context.Context, who fleet.Identity, nameOrID string) (fleet.Environment, error) {
	env, err := e.permit(ctx, who, nameOrID, toUse, "touch")
	if err != nil {
		return env, err
	}
	if now := e.Now(); env.State != fleet.Leased || env.Lease.Expired(now) {
		return fleet.Environment{}, notLeased(&env, now)
	}
	return e.noteUse(ctx, env)
}

// noteUse writes down that an environment is used now, unless that was written a moment ago.
func (e *Engine) noteUse(ctx context.Context, env fleet.Environment) (fleet.Environment, error) {
	now := e.Now()
	if env.Lease.Idle <= 0 || now.Sub(env.Lease.ActiveAt) < noteEvery(env.Lease.Idle) {
		return env, nil
	}
	noted, err := e.change(ctx, env.ID, store.Expect{}, func(row *fleet.Environment) (store.Writes, error) {
		// What is overdue stays so: its end may be recorded by another daemon at this moment.
		if row.State == fleet.Leased && !row.Lease.Expired(now) && now.After(row.Lease.ActiveAt) {
			row.Lease.ActiveAt = now
		}
		return store.Writes{}, nil
	})
	if err != nil {
		return env, fmt.Errorf("note the use of %s: %w", env.Name, err)
	}
	return noted, nil
}

// noteEvery is how long one note of use is enough: short beside the time after which an environment counts as idle.
func noteEvery(idle time.Duration) time.Duration {
	return max(idle/20, min(10*time.Second, idle/4))
}

// inUse notes that an environment is used from now until the returned function is called, however long that takes.
func (e *Engine) inUse(ctx context.Context, env fleet.Environment) (done func()) {
	if env.Lease.Idle <= 0 {
		return func() {}
	}
	if env.Lease.Idle < briefSweeps*e.cfg.SweepEvery {
		e.brief.add(env.Host, env.ID)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	note := func(ctx context.Context) {
		noted, err := e.noteUse(ctx, env)
		if err != nil && ctx.Err() == nil {
			e.logger.Warn("noting use failed; it is tried again", "environment", env.Name, "error", err)
			return
		}
		env = noted
	}
	note(ctx)
	var wg sync.WaitGroup
	e.keepUp(ctx, &wg, "the noting of use", func() {
		for waitFor(ctx, nil, min(noteEvery(env.Lease.Idle), e.cfg.Tick)) == nil {
			note(ctx)
		}
	})
	return func() {
		cancel()
		wg.Wait()
		note(context.WithoutCancel(ctx)) // idle time begins at the end of the use
	}
}

// usedCPU is the share of one core that, had from one reading to the next, counts as use, and leastCPU the least that does:
// a daemon that waits inside, and what bothy itself does there, are far below.
const (
	usedCPU  = 0.05
	leastCPU = 500 * time.Millisecond
)

// metered is what a sandbox had used by a moment: bytes over its network, and processor time.
type metered struct {
	at    time.Time
	bytes int64
	cpu   time.Duration
}

// used reports whether the sandbox was used since an earlier reading. Counters that fell were begun anew, and tell nothing.
func (r metered) used(before metered) bool {
	least := max(time.Duration(float64(r.at.Sub(before.at))*usedCPU), leastCPU)
	return r.bytes-before.bytes > usedBytes || r.cpu-before.cpu > least
}

// meters remember the last readings of each sandbox, by host.
type meters struct {
	mu   sync.Mutex
	read map[string]map[string]metered
}

// next keeps the readings of a host and gives those before. A sandbox that could not be read now keeps what it had.
func (m *meters) next(host string, now map[string]metered, wanted []fleet.Environment) (before map[string]metered) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.read == nil {
		m.read = map[string]map[string]metered{}
	}
	before = m.read[host]
	kept := map[string]metered{}
	for _, env := range wanted {
		r, ok := now[env.ID]
		if !ok {
			r, ok = before[env.ID]
		}
		if ok {
			kept[env.ID] = r
		}
	}
	m.read[host] = kept
	return before
}

// measuresAtOnce bounds how many sandboxes of a host are measured at once: an engine may take a second for each, and for many
// together no longer.
const measuresAtOnce = 32

// measureLoops measure what is used on each host, beside all that is done there: a host whose sandboxes are slow to be read holds up
// neither its sweep nor another host.
func (e *Engine) measureLoops(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	for _, h := range e.hosts.all() {
		e.keepUp(ctx, &all, "the measuring on host "+h.Name, func() {
			loop(ctx, nil, func() time.Duration {
				if err := e.measureHost(ctx, h); err != nil && ctx.Err() == nil {
					e.logger.Warn("measuring use failed; it is done again", "host", h.Name, "error", err)
				}
				return e.cfg.SweepEvery
			})
		})
		e.keepUp(ctx, &all, "the brief measuring on host "+h.Name, func() {
			loop(ctx, nil, func() time.Duration {
				if err := e.measureBriefly(ctx, h); err != nil && ctx.Err() == nil {
					e.logger.Warn("measuring use failed; it is done again", "host", h.Name, "error", err)
				}
				return min(briefEvery, e.cfg.Tick)
			})
		})
	}
}

// measureHost counts traffic and work as use. A first reading, and one that fell with a restart, tell nothing.
func (e *Engine) measureHost(ctx context.Context, h *Host) error {
	if !e.serves(h.Name) {
		return nil
	}
	wanted, err := e.rows.those(ctx, func(env *fleet.Environment) bool {
		return env.Host == h.Name && env.State == fleet.Leased && env.Lease.Idle > 0 && env.Work.Action == fleet.None
	})
	if err != nil {
		return err
	}
	now, err := e.readAll(ctx, h, wanted)
	errs := []error{err}
	before := e.meters.next(h.Name, now, wanted)
	for _, env := range wanted {
		earlier, known := before[env.ID]
		if r, ok := now[env.ID]; ok && known && r.used(earlier) {
			_, err := e.noteUse(ctx, env)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// readAll reads the meters of environments, side by side. One that does not answer keeps no other.
func (e *Engine) readAll(ctx context.Context, h *Host, all []fleet.Environment) (map[string]metered, error) {
	var mu sync.Mutex
	read := map[string]metered{}
	err := sideBySide(e, "the measuring of a sandbox", all, measuresAtOnce, func(env fleet.Environment) error {
		r, err := e.readMeters(ctx, h, env)
		switch {
		case provisioner.Is(err, provisioner.NotFound) || provisioner.Is(err, provisioner.Conflict):
			return nil // gone, or ended by itself: nobody uses it
		case err != nil:
			return fmt.Errorf("measure %s: %w", env.Name, err)
		}
		mu.Lock()
		defer mu.Unlock()
		read[env.ID] = r
		return nil
	})
	return read, err
}

// readMeters reads what a host's runtime can tell.
func (e *Engine) readMeters(ctx context.Context, h *Host, env fleet.Environment) (r metered, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	r.at = e.Now()
	if meter, ok := provisioner.Can[provisioner.Meter](h.Runtime); ok {
		if r.bytes, err = meter.Traffic(ctx, env.SandboxID); err != nil {
			return r, err
		}
	}
	if gauge, ok := provisioner.Can[provisioner.Gauge](h.Runtime); ok {
		r.cpu, err = gauge.CPUTime(ctx, env.SandboxID)
	}
	return r, err
}
