package engine

import (
	"context"
	"errors"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/plan"
	"github.com/bothy-env/bothy/internal/store"
)

// control plans and records, at every nudge, whenever time makes another plan,
// and at least every Tick.
func (e *Engine) control(ctx context.Context) {
	e.planned.Forget() // after a panic nothing of it is believed
	c := controller{rows: e.planned}
	var planned int64
	bus.Loop(ctx, e.bus.On(bus.Plan), bus.Rested(ctx, func() time.Duration {
		planning, generation, leads := e.lead.begin(ctx)
		if !leads {
			return e.cfg.WorkLease // becoming the leader wakes this
		}
		if generation != planned {
			// What was known may have moved while another planned.
			c, planned = controller{rows: c.rows}, generation
			c.rows.Forget()
		}
		made := time.Time{}
		defer func() { e.lead.done(made) }()
		wait, err := e.controlOnce(planning, &c)
		switch {
		case err == nil:
			made = e.Now()
		case errors.Is(err, store.ErrDeposed):
			e.logger.Warn("another daemon plans now; what this one was about to write is dropped")
			e.lead.lose()
			e.bus.Nudge(bus.Lead)
		case ctx.Err() == nil && context.Cause(planning) == nil:
			e.logger.Error("plan failed; it is tried again", "error", err)
		}
		return wait
	}))
}

// controller is what planning remembers from one plan to the next. It is lost without harm.
type controller struct {
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
func (c *controller) planBy(at time.Time) {
	if c.next.IsZero() || at.Before(c.next) {
		c.next = at
	}
}

// controlOnce makes one plan, unless nothing has changed since the last one, and records its actions. It returns when to look again.
func (e *Engine) controlOnce(ctx context.Context, c *controller) (time.Duration, error) {
	e.followPoolFile(ctx)
	now := e.Now()
	around, err := e.around(ctx, now)
	if err != nil {
		return e.cfg.Tick, err
	}
	if err := e.hosts.NoteMissed(ctx, around.hosts, now); err != nil {
		return e.cfg.Tick, err
	}
	last, err := clock.LastPlan(ctx, e.store)
	if err != nil {
		return e.cfg.Tick, err
	}
	if around.basis == c.seen && (c.next.IsZero() || now.Before(c.next)) {
		return e.untilNext(c, now), e.saveLast(ctx, c, now)
	}
	c.seen = basis{} // whatever fails below is planned again
	envs, err := c.rows.Live(ctx)
	if err != nil {
		return e.cfg.Tick, err
	}
	if !e.store.Shared() {
		e.storeHealth.relearn(envs)
	}
	s := e.snapshot(around, envs)
	s.Jumped = last.Jumped(clock.MomentOf(now))
	p := plan.Compute(s, now)
	if err := e.recordBrake(ctx, s.Brake, p, now); err != nil {
		return e.cfg.Tick, err
	}
	c.next, c.dropped = p.Next, false
	c.planBy(now.Add(planEvery))
	errs := []error{e.saveLast(ctx, c, now), e.recordActions(ctx, c, p, around, now), e.recordWaits(ctx, c, s, p, now)}
	if err := errors.Join(errs...); err != nil {
		return e.cfg.Tick, err
	}
	if c.dropped {
		// Whoever moved the row may have left no entry in the record: this basis would hide it.
		e.bus.Nudge(bus.Plan)
		return e.cfg.Tick, nil
	}
	c.seen = around.basis
	return e.untilNext(c, now), nil
}

// untilNext is how long to wait unless something happens.
func (e *Engine) untilNext(c *controller, now time.Time) time.Duration {
	wait := e.cfg.Tick
	if !c.next.IsZero() {
		wait = min(wait, max(c.next.Sub(now), 0))
	}
	return wait
}

// planEvery is how often a plan is made although nothing seems to have changed: what went unseen is seen then.
const planEvery = time.Minute

// savePlanEvery is how often the time of the last plan is written down.
const savePlanEvery = 10 * time.Second

// saveLast writes down when a plan was last made, so that the next process knows how long nobody looked.
func (e *Engine) saveLast(ctx context.Context, c *controller, now time.Time) error {
	if now.Sub(c.saved) < savePlanEvery {
		return nil
	}
	if err := e.clock.NotePlan(ctx, e.store, now); err != nil {
		return err
	}
	c.saved = now
	return nil
}
