package observe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/guard"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// Meter notes when environments are used: by what is asked of them here, and by what their sandboxes are measured to do.
type Meter struct {
	cfg      Config
	readings meters
	brief    briefly
}

// NewMeter makes a meter.
func NewMeter(c Config) *Meter { return &Meter{cfg: c} }

// usedBytes is how much traffic between two readings counts as use. Less is the noise of an idle network.
const usedBytes = 10 << 10

// Note writes down that an environment is used now, unless that was written a moment ago.
func (m *Meter) Note(ctx context.Context, env fleet.Environment) (fleet.Environment, error) {
	now := m.cfg.Clock.Now()
	if env.Lease.Idle <= 0 || now.Sub(env.Lease.ActiveAt) < noteEvery(env.Lease.Idle) {
		return env, nil
	}
	noted, err := m.cfg.Journal.Change(ctx, env.ID, store.Expect{}, func(row *fleet.Environment) (store.Writes, error) {
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

// InUse notes that an environment is used from now until the returned function is called, however long that takes.
func (m *Meter) InUse(ctx context.Context, env fleet.Environment) (done func()) {
	if env.Lease.Idle <= 0 {
		return func() {}
	}
	if env.Lease.Idle < briefSweeps*m.cfg.SweepEvery {
		m.brief.add(env.Host, env.ID)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	note := func(ctx context.Context) {
		noted, err := m.Note(ctx, env)
		if err != nil && ctx.Err() == nil {
			m.cfg.Logger.Warn("noting use failed; it is tried again", "environment", env.Name, "error", err)
			return
		}
		env = noted
	}
	note(ctx)
	var wg sync.WaitGroup
	m.cfg.Guard.KeepUp(ctx, &wg, "the noting of use", func() {
		for bus.Wait(ctx, nil, min(noteEvery(env.Lease.Idle), m.cfg.Tick)) == nil {
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

// Run measures what is used on each host, beside all that is done there: a host whose sandboxes are slow to be read holds up
// neither its sweep nor another host.
func (m *Meter) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	for _, h := range m.cfg.Hosts.All() {
		m.cfg.Guard.KeepUp(ctx, &all, "the measuring on host "+h.Name, func() {
			bus.Loop(ctx, nil, func() time.Duration {
				if err := m.measureHost(ctx, h); err != nil && ctx.Err() == nil {
					m.cfg.Logger.Warn("measuring use failed; it is done again", "host", h.Name, "error", err)
				}
				return m.cfg.SweepEvery
			})
		})
		m.cfg.Guard.KeepUp(ctx, &all, "the brief measuring on host "+h.Name, func() {
			bus.Loop(ctx, nil, func() time.Duration {
				if err := m.measureBriefly(ctx, h); err != nil && ctx.Err() == nil {
					m.cfg.Logger.Warn("measuring use failed; it is done again", "host", h.Name, "error", err)
				}
				return min(briefEvery, m.cfg.Tick)
			})
		})
	}
}

// measureHost counts traffic and work as use. A first reading, and one that fell with a restart, tell nothing.
func (m *Meter) measureHost(ctx context.Context, h *target.Host) error {
	if !m.cfg.Hosts.Serves(h.Name) {
		return nil
	}
	wanted, err := m.cfg.Rows.Those(ctx, func(env *fleet.Environment) bool {
		return env.Host == h.Name && env.State == fleet.Leased && env.Lease.Idle > 0 && env.Work.Action == fleet.None
	})
	if err != nil {
		return err
	}
	now, err := m.readAll(ctx, h, wanted)
	errs := []error{err}
	before := m.readings.next(h.Name, now, wanted)
	for _, env := range wanted {
		earlier, known := before[env.ID]
		if r, ok := now[env.ID]; ok && known && r.used(earlier) {
			_, err := m.Note(ctx, env)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// readAll reads the meters of environments, side by side. One that does not answer keeps no other.
func (m *Meter) readAll(ctx context.Context, h *target.Host, all []fleet.Environment) (map[string]metered, error) {
	var mu sync.Mutex
	read := map[string]metered{}
	err := guard.SideBySide(m.cfg.Guard, "the measuring of a sandbox", all, measuresAtOnce, func(env fleet.Environment) error {
		r, err := m.readMeters(ctx, h, env)
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
func (m *Meter) readMeters(ctx context.Context, h *target.Host, env fleet.Environment) (r metered, err error) {
	ctx, cancel := context.WithTimeout(ctx, target.LookFor)
	defer cancel()
	r.at = m.cfg.Clock.Now()
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
