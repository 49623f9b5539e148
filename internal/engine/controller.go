package engine

import (
	"context"
	"errors"
	"time"

	"github.com/bothy-env/bothy/internal/plan"
)

// control plans and records, at every nudge, whenever time makes another plan,
// and at least every Tick.
func (e *Engine) control(ctx context.Context) {
	var leader leadership
	defer leader.end(e)
	var c controller
	loop(ctx, e.planNudge, rested(ctx, func() time.Duration {
		if leads, err := leader.lead(ctx, e); err != nil || !leads {
			if err != nil && ctx.Err() == nil {
				e.logger.Error("becoming the controller failed; it is tried again", "error", err)
			}
			c = controller{}
			return e.cfg.WorkLease / 3
		}
		wait, err := e.controlOnce(ctx, &c)
		if err != nil && ctx.Err() == nil {
			e.logger.Error("plan failed; it is tried again", "error", err)
		}
		return wait
	}))
}

// controller is what planning remembers from one plan to the next. It is lost without harm.
type controller struct {
	// seen is what the last plan was made from, and next when time alone makes another one differ.
	seen basis
	next time.Time
	// last is when a plan was last made, or found to be the same; saved is when that was last written down.
	last, saved time.Time
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
	if err := e.noteMissed(ctx, around.hosts, now); err != nil {
		return e.cfg.Tick, err
	}
	if err := e.continuous(ctx, c, now); err != nil {
		return e.cfg.Tick, err
	}
	if around.basis == c.seen && (c.next.IsZero() || now.Before(c.next)) {
		c.last = now
		return e.untilNext(c, now), e.saveLast(ctx, c, now)
	}
	c.seen = basis{} // whatever fails below is planned again
	s, err := e.snapshot(ctx, around)
	if err != nil {
		return e.cfg.Tick, err
	}
	s.Last = c.last
	p := plan.Compute(s, now)
	if err := e.recordBrake(ctx, s.Brake, p, now); err != nil {
		return e.cfg.Tick, err
	}
	c.last, c.next, c.dropped = now, p.Next, false
	c.planBy(now.Add(planEvery))
	errs := []error{e.saveLast(ctx, c, now), e.recordActions(ctx, c, p, around, now), e.recordWaits(ctx, c, s, p, now)}
	if err := errors.Join(errs...); err != nil {
		return e.cfg.Tick, err
	}
	if c.dropped {
		// Whoever moved the row may have left no entry in the record: this basis would hide it.
		nudge(e.planNudge)
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

// savePlanEvery is how often the time of the last plan is written down. A restart within a minute of it is no jump of the time.
const savePlanEvery = 10 * time.Second

// saveLast writes down when a plan was last made, so that the next process knows how long nobody looked.
func (e *Engine) saveLast(ctx context.Context, c *controller, now time.Time) error {
	if now.Sub(c.saved) < savePlanEvery {
		return nil
	}
	if err := e.store.SetSetting(ctx, settingLastPlan, now.Format(time.RFC3339Nano)); err != nil {
		return err
	}
	c.saved = now
	return nil
}

// continuous finds when a plan was last made, by whichever process, or by a person who let the brake go.
func (e *Engine) continuous(ctx context.Context, c *controller, now time.Time) error {
	last, err := e.lastPlan(ctx)
	if err != nil {
		return err
	}
	if last.After(c.last) && !last.After(now) {
		c.last = last
	}
	return nil
}
