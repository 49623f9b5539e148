// Package reconcile plans what is next for every environment, from what the store holds, and records it: only the daemon that leads does, and
// the reap limiter holds its plans back. What is recorded others do.
package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
	"github.com/bothy-env/bothy/internal/store"
)

// Pool is a pool with what its blueprint is now.
type Pool struct {
	plan.Pool
	// Member gives a new member, without an id and a name.
	Member func() fleet.Environment
}

// Pools are those that the platform team has set.
type Pools interface {
	// Follow keeps them in step with the platform team's file.
	Follow(ctx context.Context)
	// Priced gives all at the prices in force.
	Priced(ctx context.Context) ([]Pool, error)
}

// Hosts are the engine hosts.
type Hosts interface {
	// Busy gives how many members of pools may be in the making at once on each host that is busy.
	Busy() map[string]int
	// NoteMissed tells the record that a host is lost, and that one is back.
	NoteMissed(ctx context.Context, hosts []fleet.Host, now time.Time) error
}

// Recovery is whether the database can be believed.
type Recovery interface {
	// Safety is another text whenever that changes.
	Safety(ctx context.Context) (string, error)
}

// Config is what a Controller is made of.
type Config struct {
	Store    *store.Store
	Clock    *clock.Clock
	Bus      *bus.Bus
	Journal  *journal.Journal
	Logger   *slog.Logger
	Pools    Pools
	Hosts    Hosts
	Recovery Recovery
	// AwaitFirstLooks waits, within a bound, until the hosts were compared with the database.
	AwaitFirstLooks func(ctx context.Context)
	// Learn is given all live environments as they were read.
	Learn func(envs []fleet.Environment)
	// NewID makes an environment's id.
	NewID func() string
	// Weights, Worker, Advertise, Ended, Concurrency, CreateDeadline, WorkLease and Tick are those of the daemon's configuration.
	Weights                         func() []fleet.Weight
	Worker, Advertise               string
	Ended                           []string
	Concurrency                     int
	CreateDeadline, WorkLease, Tick time.Duration
}

// Controller plans and records.
type Controller struct {
	cfg     Config
	store   *store.Store
	clock   *clock.Clock
	bus     *bus.Bus
	journal *journal.Journal
	logger  *slog.Logger
	leader  *Leader
	limiter *Limiter
	creates CreateTimes
	// rows are the live environments.
	rows *store.Kept
}

// New makes a controller. It starts nothing.
func New(cfg Config) *Controller {
	return &Controller{
		cfg: cfg, store: cfg.Store, clock: cfg.Clock, bus: cfg.Bus, journal: cfg.Journal, logger: cfg.Logger, rows: cfg.Store.Keep(),
		leader:  &Leader{store: cfg.Store, clock: cfg.Clock, bus: cfg.Bus, logger: cfg.Logger, cfg: cfg},
		limiter: &Limiter{store: cfg.Store, clock: cfg.Clock, bus: cfg.Bus, logger: cfg.Logger},
	}
}

// Leader tells whether this daemon plans.
func (c *Controller) Leader() *Leader { return c.leader }

// Leads reports whether this daemon plans now.
func (c *Controller) Leads() bool { return c.leader.Leads() }

// Limiter is what holds the ends of leases back.
func (c *Controller) Limiter() *Limiter { return c.limiter }

// CreateTimes are how long creates take.
func (c *Controller) CreateTimes() *CreateTimes { return &c.creates }

// Run plans and records, at every nudge, whenever time makes another plan,
// and at least every Tick.
func (c *Controller) Run(ctx context.Context) {
	c.rows.Forget() // after a panic nothing of it is believed
	c.cfg.AwaitFirstLooks(ctx)
	m := memory{rows: c.rows}
	var planned int64
	bus.Loop(ctx, c.bus.On(bus.Plan), bus.Rested(ctx, func() time.Duration {
		planning, generation, leads := c.leader.begin(ctx)
		if !leads {
			return c.cfg.WorkLease // becoming the leader wakes this
		}
		if generation != planned {
			// What was known may have moved while another planned.
			m, planned = memory{rows: m.rows}, generation
			m.rows.Forget()
		}
		made := time.Time{}
		defer func() { c.leader.done(made) }()
		wait, err := c.once(planning, &m)
		switch {
		case err == nil:
			made = c.clock.Now()
		case errors.Is(err, store.ErrDeposed):
			c.logger.Warn("another daemon plans now; what this one was about to write is dropped")
			c.leader.lose()
			c.bus.Nudge(bus.Lead)
		case ctx.Err() == nil && context.Cause(planning) == nil:
			c.logger.Error("plan failed; it is tried again", "error", err)
		}
		return wait
	}))
}

// memory is what planning remembers from one plan to the next. It is lost without harm.
type memory struct {
	// rows are the environments as they were when they were last read.
	rows *store.Kept
	// seen is what the last plan was made from, and next when time alone makes another one differ.
	seen basis
	next time.Time
	// saved is when the time of a plan was last written down.
	saved time.Time
	// told is when the queue's places were last written down.
	told time.Time
	// dropped says that a row had moved before an action of the last plan was recorded.
	dropped bool
}

// planBy makes sure that a plan is made at a time.
func (m *memory) planBy(at time.Time) {
	if m.next.IsZero() || at.Before(m.next) {
		m.next = at
	}
}

// once makes one plan, unless nothing has changed since the last one, and records its actions. It returns when to look again.
func (c *Controller) once(ctx context.Context, m *memory) (time.Duration, error) {
	c.cfg.Pools.Follow(ctx)
	now := c.clock.Now()
	around, err := c.around(ctx, now)
	if err != nil {
		return c.cfg.Tick, err
	}
	if err := c.cfg.Hosts.NoteMissed(ctx, around.hosts, now); err != nil {
		return c.cfg.Tick, err
	}
	last, err := clock.LastPlan(ctx, c.store)
	if err != nil {
		return c.cfg.Tick, err
	}
	if around.basis == m.seen && (m.next.IsZero() || now.Before(m.next)) {
		return c.untilNext(m, now), c.saveLast(ctx, m, now)
	}
	m.seen = basis{} // whatever fails below is planned again
	envs, err := m.rows.Live(ctx)
	if err != nil {
		return c.cfg.Tick, err
	}
	if !c.store.Shared() {
		c.cfg.Learn(envs)
	}
	s := c.snapshot(around, envs)
	s.Jumped = last.Jumped(clock.MomentOf(now))
	p := plan.Compute(s, now)
	if err := c.limiter.record(ctx, s.Brake, p, now); err != nil {
		return c.cfg.Tick, err
	}
	m.next, m.dropped = p.Next, false
	m.planBy(now.Add(planEvery))
	errs := []error{c.saveLast(ctx, m, now), c.recordActions(ctx, m, p, around, now), c.recordWaits(ctx, m, s, p, now)}
	if err := errors.Join(errs...); err != nil {
		return c.cfg.Tick, err
	}
	if m.dropped {
		// Whoever moved the row may have left no entry in the record: this basis would hide it.
		c.bus.Nudge(bus.Plan)
		return c.cfg.Tick, nil
	}
	m.seen = around.basis
	return c.untilNext(m, now), nil
}

// untilNext is how long to wait unless something happens.
func (c *Controller) untilNext(m *memory, now time.Time) time.Duration {
	wait := c.cfg.Tick
	if !m.next.IsZero() {
		wait = min(wait, max(m.next.Sub(now), 0))
	}
	return wait
}

// planEvery is how often a plan is made although nothing seems to have changed: what went unseen is seen then.
const planEvery = time.Minute

// savePlanEvery is how often the time of the last plan is written down.
const savePlanEvery = 10 * time.Second

// saveLast writes down when a plan was last made, so that the next process knows how long nobody looked.
func (c *Controller) saveLast(ctx context.Context, m *memory, now time.Time) error {
	if now.Sub(m.saved) < savePlanEvery {
		return nil
	}
	if err := c.clock.NotePlan(ctx, c.store, now); err != nil {
		return err
	}
	m.saved = now
	return nil
}
