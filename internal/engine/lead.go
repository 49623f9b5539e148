package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// leadership is whether this daemon's controller is the one that plans. It is a lease in the database, which is renewed
// beside the controller; what the controller writes is fenced by its generation. Whoever is frozen, cut off or stuck does not renew
// it, and is replaced.
type leadership struct {
	mu sync.Mutex
	// generation is that of the lead, 0 for none; until is for how long it can be trusted, since boot.
	generation int64
	until      time.Duration
	// round is the plan under way: when it began, since boot, and what ends it; nil when there is none.
	began time.Duration
	end   context.CancelCauseFunc
	// planned is when a plan was last made, plannedAt the same since boot.
	planned   time.Time
	plannedAt time.Duration
	// stuck says that the lead was given up because a plan did not end.
	stuck bool
}

// errDeposed is the cause of the end of a plan whose daemon does not lead any more.
var errDeposed = errors.New("another daemon plans now")

// leads reports whether this daemon leads now.
func (l *leadership) leads() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.generation != 0 && clock.SinceBoot() < l.until
}

// inItsName gives a context for what is written in the name of who leads; false when another does.
func (l *leadership) inItsName(ctx context.Context) (context.Context, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.generation == 0 || clock.SinceBoot() >= l.until {
		return ctx, false
	}
	return store.AsLeader(ctx, l.generation), true
}

// begin begins a plan, in the name of who leads; false when another does. Call done when it has ended.
func (l *leadership) begin(ctx context.Context) (planning context.Context, generation int64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.generation == 0 || clock.SinceBoot() >= l.until {
		return nil, 0, false
	}
	planning, l.end = context.WithCancelCause(store.AsLeader(ctx, l.generation))
	l.began = clock.SinceBoot()
	return planning, l.generation, true
}

// done ends what begin began. made is when the plan was made; zero when it failed.
func (l *leadership) done(made time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end(nil)
	l.end, l.stuck = nil, false
	if !made.IsZero() {
		l.planned, l.plannedAt = made, clock.SinceBoot()
	}
}

// hangs reports whether a plan is under way for longer than it may.
func (l *leadership) hangs(most time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end != nil && clock.SinceBoot()-l.began > most
}

// renewed notes that this daemon leads, and reports whether that is new.
func (l *leadership) renewed(generation int64, until time.Duration) (gained bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	gained = l.generation != generation
	if gained && l.end != nil {
		l.end(errDeposed) // its generation is an old one
	}
	l.generation, l.until = generation, until
	return gained
}

// lose notes that this daemon does not lead, ends the plan under way, and reports whether it led.
func (l *leadership) lose() (led bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	led, l.generation = l.generation != 0, 0
	if l.end != nil {
		l.end(errDeposed)
	}
	return led
}

// lastPlanned is when a plan was last made, and how long ago; zero for never.
func (l *leadership) lastPlanned() (at time.Time, ago time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.planned.IsZero() {
		return at, 0
	}
	return l.planned, clock.SinceBoot() - l.plannedAt
}

// leading is for how long the lead is taken, and how often it is renewed. Others look when it runs out: so a leader that is silent is
// replaced well within a work lease. Where nobody else could take it, it only shows that this process was asleep.
func (e *Engine) leading() (lease, renew time.Duration) {
	if e.store.Shared() {
		return e.cfg.WorkLease * 2 / 3, e.cfg.WorkLease / 5
	}
	return 4 * e.cfg.WorkLease, e.cfg.WorkLease
}

// longestPlan is how many work leases a plan may take. A controller that hangs is then given up, so that another plans.
const longestPlan = 4

// leadLoop takes and renews the lead until ctx ends, and gives it up then.
func (e *Engine) leadLoop(ctx context.Context) {
	bus.Loop(ctx, e.bus.On(bus.Lead), func() time.Duration { return e.bid(ctx) })
	e.resign(ctx)
}

func (e *Engine) resign(ctx context.Context) {
	if !e.lead.lose() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveFor)
	defer cancel()
	if err := e.store.Resign(ctx, e.cfg.Worker); err != nil {
		e.logger.Warn("giving up the lead failed; it is free when its time is over", "error", err)
	}
}

// bid renews the lead, or asks for it, and gives when to do so again.
func (e *Engine) bid(ctx context.Context) time.Duration {
	lease, renew := e.leading()
	if e.lead.hangs(longestPlan * e.cfg.WorkLease) {
		e.lead.setStuck()
		if e.lead.leads() {
			e.logger.Error("a plan does not end; another daemon is to plan")
			e.resign(ctx)
		}
		return renew
	}
	once, cancel := context.WithTimeout(ctx, e.cfg.WorkLease/3)
	defer cancel()
	sent := clock.SinceBoot()
	planned, _ := e.lead.lastPlanned()
	l, left, err := e.store.Lead(once, store.Bid{
		Worker: e.cfg.Worker, Address: e.cfg.Advertise, For: lease, PlannedAt: planned, Ended: e.cfg.Ended,
	}, e.Now())
	switch {
	case err != nil:
		if ctx.Err() == nil {
			e.logger.Warn("becoming the controller failed; it is tried again", "error", err)
		}
		return e.bus.Apart(min(renew, time.Second))
	case l.Worker != e.cfg.Worker:
		if e.lead.lose() {
			e.logger.Warn("another daemon plans now", "worker", l.Worker)
		}
		// When its time is over, and not all at once.
		return min(max(left, 0), e.cfg.WorkLease/3) + e.bus.Apart(e.cfg.WorkLease/20)
	}
	if e.lead.renewed(l.Generation, sent+clock.Trusted(lease)) {
		if e.store.Shared() {
			e.logger.Info("this daemon plans now", "generation", l.Generation)
		}
		e.bus.Nudge(bus.Plan, bus.Check)
	}
	return renew
}

func (l *leadership) setStuck() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stuck = true
}

func (l *leadership) isStuck() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stuck
}

// checkLeader tells who plans, and how old the last plan is.
func (e *Engine) checkLeader(ctx context.Context) Check {
	check := Check{Name: "leader", Status: OK}
	l, now, err := e.store.Leader(ctx, e.Now())
	if err != nil {
		check.Status, check.Message, check.Hint = Warning, "who plans cannot be read: "+err.Error(), "see the check of the store"
		return check
	}
	who, age, since := "the daemon "+fleet.DaemonOf(l.Worker), now.Sub(l.PlannedAt), now.Sub(l.Since)
	if l.Address != "" {
		who += " at " + l.Address
	}
	mine := e.lead.leads()
	if mine {
		who = "this daemon"
		l.PlannedAt, age = e.lead.lastPlanned()
	}
	if l.PlannedAt.IsZero() {
		age = since
	}
	switch {
	case e.lead.isStuck():
		check.Status, check.Message = Warning, "a plan of this daemon does not end, so it has given up planning"
		check.Hint = "look at its log, and restart this bothyd"
	case !mine && !l.Leads(now):
		check.Status, check.Message = Warning, "no daemon plans now: no lease ends and no request is begun"
		check.Hint = "another daemon takes over within timing.work_lease; if none does, see the daemons' logs"
	case age > e.oldPlan():
		check.Status = Warning
		check.Message = fmt.Sprintf("%s plans, but its last plan is %s old: leases may end late", who, age.Round(time.Second))
		check.Hint = "look at the log of that daemon, and at the database: see the check of the store"
	case l.PlannedAt.IsZero():
		check.Message = who + " plans; its first plan is not made yet"
	default:
		check.Message = fmt.Sprintf("%s plans; its last plan is %s old", who, max(age, 0).Round(time.Second))
	}
	return check
}

// oldPlan is the age from which the last plan is a warning. One is made each Tick at least, and reported with the next renewal.
func (e *Engine) oldPlan() time.Duration {
	_, renew := e.leading()
	return 2*max(e.cfg.Tick, 5*time.Second) + renew + e.cfg.WorkLease
}
