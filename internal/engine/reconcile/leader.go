package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/engine/doctor"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// Leader is whether this daemon's controller is the one that plans. It is a lease in the database, which is renewed
// beside the controller; what the controller writes is fenced by its generation. Whoever is frozen, cut off or stuck does not renew
// it, and is replaced.
type Leader struct {
	store  *store.Store
	clock  *clock.Clock
	bus    *bus.Bus
	logger *slog.Logger
	cfg    Config

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

// Leads reports whether this daemon leads now.
func (l *Leader) Leads() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.generation != 0 && clock.SinceBoot() < l.until
}

// InItsName gives a context for what is written in the name of who leads; false when another does.
func (l *Leader) InItsName(ctx context.Context) (context.Context, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.generation == 0 || clock.SinceBoot() >= l.until {
		return ctx, false
	}
	return store.AsLeader(ctx, l.generation), true
}

// begin begins a plan, in the name of who leads; false when another does. Call done when it has ended.
func (l *Leader) begin(ctx context.Context) (planning context.Context, generation int64, ok bool) {
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
func (l *Leader) done(made time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end(nil)
	l.end, l.stuck = nil, false
	if !made.IsZero() {
		l.planned, l.plannedAt = made, clock.SinceBoot()
	}
}

// hangs reports whether a plan is under way for longer than it may.
func (l *Leader) hangs(most time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end != nil && clock.SinceBoot()-l.began > most
}

// renewed notes that this daemon leads, and reports whether that is new.
func (l *Leader) renewed(generation int64, until time.Duration) (gained bool) {
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
func (l *Leader) lose() (led bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	led, l.generation = l.generation != 0, 0
	if l.end != nil {
		l.end(errDeposed)
	}
	return led
}

// lastPlanned is when a plan was last made, and how long ago; zero for never.
func (l *Leader) lastPlanned() (at time.Time, ago time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.planned.IsZero() {
		return at, 0
	}
	return l.planned, clock.SinceBoot() - l.plannedAt
}

// leading is for how long the lead is taken, and how often it is renewed. Others look when it runs out: so a leader that is silent is
// replaced well within a work lease. Where nobody else could take it, it only shows that this process was asleep.
func (l *Leader) leading() (lease, renew time.Duration) {
	if l.store.Shared() {
		return l.cfg.WorkLease * 2 / 3, l.cfg.WorkLease / 5
	}
	return 4 * l.cfg.WorkLease, l.cfg.WorkLease
}

// leaveFor bounds the last write of a daemon that stops.
const leaveFor = 5 * time.Second

// longestPlan is how many work leases a plan may take. A controller that hangs is then given up, so that another plans.
const longestPlan = 4

// Run takes and renews the lead until ctx ends, and gives it up then.
func (l *Leader) Run(ctx context.Context) {
	bus.Loop(ctx, l.bus.On(bus.Lead), func() time.Duration { return l.bid(ctx) })
	l.resign(ctx)
}

func (l *Leader) resign(ctx context.Context) {
	if !l.lose() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveFor)
	defer cancel()
	if err := l.store.Resign(ctx, l.cfg.Worker); err != nil {
		l.logger.Warn("giving up the lead failed; it is free when its time is over", "error", err)
	}
}

// bid renews the lead, or asks for it, and gives when to do so again.
func (l *Leader) bid(ctx context.Context) time.Duration {
	lease, renew := l.leading()
	if l.hangs(longestPlan * l.cfg.WorkLease) {
		l.setStuck()
		if l.Leads() {
			l.logger.Error("a plan does not end; another daemon is to plan")
			l.resign(ctx)
		}
		return renew
	}
	once, cancel := context.WithTimeout(ctx, l.cfg.WorkLease/3)
	defer cancel()
	sent := clock.SinceBoot()
	planned, _ := l.lastPlanned()
	row, left, err := l.store.Lead(once, store.Bid{
		Worker: l.cfg.Worker, Address: l.cfg.Advertise, For: lease, PlannedAt: planned, Ended: l.cfg.Ended,
	}, l.clock.Now())
	switch {
	case err != nil:
		if ctx.Err() == nil {
			l.logger.Warn("becoming the controller failed; it is tried again", "error", err)
		}
		return l.bus.Apart(min(renew, time.Second))
	case row.Worker != l.cfg.Worker:
		if l.lose() {
			l.logger.Warn("another daemon plans now", "worker", row.Worker)
		}
		// When its time is over, and not all at once.
		return min(max(left, 0), l.cfg.WorkLease/3) + l.bus.Apart(l.cfg.WorkLease/20)
	}
	if l.renewed(row.Generation, sent+clock.Trusted(lease)) {
		if l.store.Shared() {
			l.logger.Info("this daemon plans now", "generation", row.Generation)
		}
		l.bus.Nudge(bus.Plan, bus.Check)
	}
	return renew
}

func (l *Leader) setStuck() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stuck = true
}

func (l *Leader) isStuck() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stuck
}

// Check tells who plans, and how old the last plan is.
func (l *Leader) Check(ctx context.Context) doctor.Check {
	check := doctor.Check{Name: "leader", Status: doctor.OK}
	row, now, err := l.store.Leader(ctx, l.clock.Now())
	if err != nil {
		check.Status, check.Message, check.Hint = doctor.Warning, "who plans cannot be read: "+err.Error(), "see the check of the store"
		return check
	}
	who, age, since := "the daemon "+fleet.DaemonOf(row.Worker), now.Sub(row.PlannedAt), now.Sub(row.Since)
	if row.Address != "" {
		who += " at " + row.Address
	}
	mine := l.Leads()
	if mine {
		who = "this daemon"
		row.PlannedAt, age = l.lastPlanned()
	}
	if row.PlannedAt.IsZero() {
		age = since
	}
	switch {
	case l.isStuck():
		check.Status, check.Message = doctor.Warning, "a plan of this daemon does not end, so it has given up planning"
		check.Hint = "look at its log, and restart this bothyd"
	case !mine && !row.Leads(now):
		check.Status, check.Message = doctor.Warning, "no daemon plans now: no lease ends and no request is begun"
		check.Hint = "another daemon takes over within timing.work_lease; if none does, see the daemons' logs"
	case age > l.oldPlan():
		check.Status = doctor.Warning
		check.Message = fmt.Sprintf("%s plans, but its last plan is %s old: leases may end late", who, age.Round(time.Second))
		check.Hint = "look at the log of that daemon, and at the database: see the check of the store"
	case row.PlannedAt.IsZero():
		check.Message = who + " plans; its first plan is not made yet"
	default:
		check.Message = fmt.Sprintf("%s plans; its last plan is %s old", who, max(age, 0).Round(time.Second))
	}
	return check
}

// oldPlan is the age from which the last plan is a warning. One is made each Tick at least, and reported with the next renewal.
func (l *Leader) oldPlan() time.Duration {
	_, renew := l.leading()
	return 2*max(l.cfg.Tick, 5*time.Second) + renew + l.cfg.WorkLease
}
