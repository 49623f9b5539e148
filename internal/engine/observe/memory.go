package observe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// A process that the kernel ended for want of memory is recorded with its environment, also when it was no command's own:
// a background job, a build's child. Some runtimes report it at once; all sandboxes are looked at besides.

const (
	eventOOM = "environment.oom"
	// oomEvery is the time between two looks at the sandboxes of a host whose runtime does not tell.
	oomEvery = 5 * time.Second
	// oomAgain is the wait before another look at a sandbox that its runtime reported: the kernel counts when a process has ended. oomLooks
	// is how many there are.
	oomAgain = time.Second
	oomLooks = 4
	// mostOOMEvents bounds the events of one environment that tell of a want of memory; then one each oomPause.
	mostOOMEvents = 3
	oomPause      = 10 * time.Minute
	// mostOOMKnown bounds of how many environments that is remembered.
	mostOOMKnown = 4096
	// lookBack is among how many of its newest events one is looked for that told of it.
	lookBack = 100
)

// Memory tells the record of processes that were ended for want of memory.
type Memory struct {
	cfg     Config
	counts  ooms
	starved map[string]*starved
}

// NewMemory makes it.
func NewMemory(c Config) *Memory {
	return &Memory{cfg: c, starved: newStarved(c.Hosts.All())}
}

// ooms are the processes that were ended for want of memory, by environment. After a restart they begin anew.
type ooms struct {
	mu sync.Mutex
	of map[string]*oom
}

// oom is what is known of one environment.
type oom struct {
	counted bool  // the kernel's count is known
	kills   int64 // that count when it was last read
	untold  int64 // how many are in no event yet
	events  int
	toldAt  time.Time
}

func (o *ooms) get(id string) *oom {
	if o.of == nil || len(o.of) >= mostOOMKnown {
		o.of = map[string]*oom{}
	}
	if o.of[id] == nil {
		o.of[id] = &oom{}
	}
	return o.of[id]
}

// known reports whether a sandbox's count was read before.
func (o *ooms) known(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.get(id).counted
}

// next keeps a sandbox's count, and gives how many processes an event is to tell of now, if any. A count that fell began
// anew with the sandbox.
func (o *ooms) next(id string, kills int64, now time.Time) (fresh, tell int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := o.get(id)
	fresh = kills - known.kills
	if fresh < 0 {
		fresh = kills
	}
	known.counted, known.kills = true, kills
	known.untold += fresh
	if known.untold == 0 || known.events >= mostOOMEvents && now.Sub(known.toldAt) < oomPause {
		return fresh, 0
	}
	tell, known.untold = known.untold, 0
	known.events, known.toldAt = known.events+1, now
	return fresh, tell
}

// uncounted reports whether an event may tell of a want of memory that nobody counts.
func (o *ooms) uncounted(id string, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := o.get(id)
	if known.events >= mostOOMEvents && now.Sub(known.toldAt) < oomPause {
		return false
	}
	known.events, known.toldAt = known.events+1, now
	return true
}

// began notes a count that is not reported.
func (o *ooms) began(id string, kills int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := o.get(id)
	known.counted, known.kills = true, kills
}

// starved are the environments of one host whose runtime has told of a want of memory, with how many looks are left.
type starved struct {
	mu    sync.Mutex
	left  map[string]int
	told  bool // the runtime tells now
	wake  chan struct{}
	polls time.Time // when all were looked at last
}

func newStarved(hosts []*target.Host) map[string]*starved {
	of := map[string]*starved{}
	for _, h := range hosts {
		of[h.Name] = &starved{left: map[string]int{}, wake: make(chan struct{}, 1)}
	}
	return of
}

// add notes one that the runtime reported.
func (s *starved) add(id string) {
	s.mu.Lock()
	s.left[id] = oomLooks
	s.mu.Unlock()
	bus.Nudge(s.wake)
}

// tells notes whether the runtime tells now.
func (s *starved) tells(now bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = now
}

// take gives those that are to be looked at, each with whether this is its last look, and whether all are.
func (s *starved) take(now time.Time, seldom time.Duration) (these map[string]bool, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	these = map[string]bool{}
	for id := range s.left {
		s.left[id]--
		if these[id] = s.left[id] <= 0; these[id] {
			delete(s.left, id)
		}
	}
	every := min(oomEvery, seldom)
	if s.told {
		every = seldom
	}
	if all = now.Sub(s.polls).Abs() >= every; all {
		s.polls = now
	}
	return these, all
}

// found drops one whose processes were counted.
func (s *starved) found(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.left, id)
}

// wait is the time until the next look.
func (s *starved) wait(seldom time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.left) > 0 {
		return min(oomAgain, seldom)
	}
	return min(oomEvery, seldom)
}

// Run looks for processes that were ended for want of memory until ctx ends.
func (m *Memory) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, h := range m.cfg.Hosts.All() {
		m.cfg.Guard.KeepUp(ctx, &all, "the look for a want of memory", func() { m.host(ctx, h) })
	}
	all.Wait()
}

func (m *Memory) host(ctx context.Context, h *target.Host) {
	s := m.starved[h.Name]
	bus.Loop(ctx, s.wake, func() time.Duration {
		if m.cfg.Hosts.Serves(h.Name) {
			if err := m.look(ctx, h, s); err != nil && ctx.Err() == nil {
				m.cfg.Logger.Debug("looking for a want of memory failed; it is tried again", "host", h.Name, "error", err)
			}
		}
		return s.wait(m.cfg.SweepEvery)
	})
}

// look looks at those that the runtime reported, and now and then at all.
func (m *Memory) look(ctx context.Context, h *target.Host, s *starved) error {
	these, all := s.take(time.Now(), m.cfg.SweepEvery)
	if len(these) == 0 && !all {
		return nil
	}
	live, err := m.cfg.Rows.On(ctx, h.Name)
	if err != nil {
		return err
	}
	var errs []error
	for id, env := range live {
		last, told := these[id]
		if !told && !all || env.State != fleet.Leased || env.SandboxID == "" {
			continue
		}
		fresh, err := m.read(ctx, h, env, last)
		if fresh {
			s.found(id)
		}
		errs = append(errs, err)
		if provisioner.IsUnavailable(err) || ctx.Err() != nil {
			break // nor does it answer for the others
		}
	}
	return errors.Join(errs...)
}

// read reads one sandbox's count and records what is new. told says that its runtime has told of it and counts nothing.
func (m *Memory) read(ctx context.Context, h *target.Host, env fleet.Environment, told bool) (fresh bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, target.LookFor)
	defer cancel()
	gauge, ok := provisioner.Can[provisioner.Gauge](h.Runtime)
	kills := int64(-1)
	if ok {
		kills, err = gauge.OOMKills(ctx, env.SandboxID)
	}
	switch {
	case provisioner.Is(err, provisioner.NotFound) || provisioner.Is(err, provisioner.Conflict):
		return false, nil // it ended: others tell of that
	case err != nil:
		return false, err
	case kills < 0 && told && m.counts.uncounted(env.ID, m.cfg.Clock.Now()):
		return true, m.record(ctx, env, 0)
	case kills < 0:
		return false, nil
	}
	return m.Count(ctx, env, kills)
}

// Count keeps a sandbox's count and records what is new in it. Of what was counted before this process began, an event of
// an earlier one has told if there is any.
func (m *Memory) Count(ctx context.Context, env fleet.Environment, kills int64) (fresh bool, err error) {
	if kills > 0 && !m.counts.known(env.ID) {
		at, err := m.LastAt(ctx, env)
		if err != nil {
			return false, err
		}
		if !at.IsZero() {
			m.counts.began(env.ID, kills)
			return false, nil
		}
	}
	n, tell := m.counts.next(env.ID, kills, m.cfg.Clock.Now())
	if tell > 0 {
		err = m.record(ctx, env, tell)
	}
	return n > 0, err
}

// LastAt is when an environment's record last told of a want of memory; zero for never, or long ago.
func (m *Memory) LastAt(ctx context.Context, env fleet.Environment) (at time.Time, err error) {
	events, err := m.cfg.Store.EventsBy(ctx, store.EventFilter{EnvironmentID: env.ID, Limit: lookBack, Newest: true})
	if err != nil {
		return at, fmt.Errorf("read the record of %s: %w", env.Name, err)
	}
	for _, event := range events {
		if event.Kind == eventOOM {
			at = event.At
		}
	}
	return at, nil
}

// record writes down that the kernel ended processes of an environment; 0 where nobody counts them.
func (m *Memory) record(ctx context.Context, env fleet.Environment, killed int64) error {
	what := "processes"
	switch {
	case killed == 1:
		what = "1 process"
	case killed > 1:
		what = fmt.Sprintf("%d processes", killed)
	}
	err := m.cfg.Store.AppendEvents(ctx, m.cfg.Journal.Event(&env, journal.Self, eventOOM,
		"it ran out of memory: the kernel killed %s (size %s has %d MiB)", what, env.Size.Name, env.Size.MemoryMiB))
	if err != nil {
		return fmt.Errorf("record that %s ran out of memory: %w", env.Name, err)
	}
	return nil
}
