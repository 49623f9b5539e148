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

// usedBytes is how much traffic between two sweeps counts as use. Less is the noise of an idle network.
const usedBytes = 10 << 10

// Touch notes that an environment is used, so that it does not end as idle.
//
// Errors: not_found, conflict (not leased).
func (e *Engine) Touch(ctx context.Context, who fleet.Identity, nameOrID string) (fleet.Environment, error) {
	env, err := e.find(ctx, who, nameOrID)
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
	wg.Go(func() {
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

// meters remember how much traffic each sandbox had at the last sweep of its host.
type meters struct {
	mu   sync.Mutex
	read map[string]map[string]int64
}

// next keeps the readings of a host and gives those before.
func (m *meters) next(host string, now map[string]int64) (before map[string]int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.read == nil {
		m.read = map[string]map[string]int64{}
	}
	before, m.read[host] = m.read[host], now
	return before
}

// measure counts traffic as use. A first reading, and one that fell with a restart, tell nothing.
func (e *Engine) measure(ctx context.Context, h *Host, envs map[string]fleet.Environment) error {
	meter, ok := h.Runtime.(provisioner.Meter)
	if !ok {
		return nil
	}
	var errs []error
	now := map[string]int64{}
	for id, env := range envs {
		if env.State != fleet.Leased || env.Lease.Idle <= 0 || env.Work.Action != fleet.None {
			continue
		}
		bytes, err := meter.Traffic(ctx, env.SandboxID)
		switch {
		case err == nil:
			now[id] = bytes
		case provisioner.Is(err, provisioner.NotFound) || provisioner.Is(err, provisioner.Conflict):
			// Gone, or ended by itself: nobody uses it.
		default:
			errs = append(errs, fmt.Errorf("measure %s: %w", env.Name, err))
		}
	}
	for id, before := range e.meters.next(h.Name, now) {
		if now[id]-before > usedBytes {
			_, err := e.noteUse(ctx, envs[id])
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
