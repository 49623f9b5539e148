package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/engine/doctor"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
	"github.com/bothy-env/bothy/internal/store"
)

// settingBrake is the brake as the last plan left it, in JSON; empty when it is off.
const settingBrake = "brake"

// Limiter is the reap limiter: it limits mass expiry after a jump of the clock, until somebody has looked. The command line calls
// it the brake.
type Limiter struct {
	store  *store.Store
	clock  *clock.Clock
	bus    *bus.Bus
	logger *slog.Logger
}

// record keeps a brake that a plan has put on, moved or taken off, and tells of it. Until it is kept nothing of the plan is done.
func (l *Limiter) record(ctx context.Context, before fleet.Brake, p plan.Plan, now time.Time) error {
	if p.Brake == before {
		return nil
	}
	if err := l.save(ctx, p.Brake); err != nil {
		return err
	}
	switch {
	case p.Brake.On() && !before.On():
		l.logger.Warn("the brake is on: leases end slowly", "reason", p.Brake.Reason, "held_back", p.Braked)
		return l.store.AppendEvents(ctx, fleet.Event{
			At: now, Actor: journal.Self, Kind: "brake.on",
			Message: fmt.Sprintf("%s; %d environments are due and are deleted slowly", p.Brake.Reason, p.Braked),
		})
	case !p.Brake.On():
		l.logger.Info("the brake is off: leases end as usual", "taken_away", before.Reaped)
		return l.store.AppendEvents(ctx, fleet.Event{
			At: now, Actor: journal.Self, Kind: "brake.off", Message: fmt.Sprintf("nothing is overdue any more; it let %d go", before.Reaped),
		})
	}
	return nil
}

func (l *Limiter) save(ctx context.Context, b fleet.Brake) error {
	text := ""
	if b.On() {
		encoded, err := json.Marshal(b)
		if err != nil {
			return fmt.Errorf("encode the brake: %w", err)
		}
		text = string(encoded)
	}
	return l.store.SetSetting(ctx, settingBrake, text)
}

// State tells whether the brake is on, and why.
func (l *Limiter) State(ctx context.Context) (fleet.Brake, error) {
	return journal.Setting[fleet.Brake](ctx, l.store, settingBrake, "the brake")
}

// Release lets everything go that is due.
func (l *Limiter) Release(ctx context.Context, who fleet.Identity) (fleet.Brake, error) {
	before, err := l.State(ctx)
	if err != nil || !before.On() {
		return before, err
	}
	now := l.clock.Now()
	// The time goes first: with the brake off and an old time, the next plan would put it on again.
	if err := l.clock.NotePlan(ctx, l.store, now); err != nil {
		return before, err
	}
	if err := l.save(ctx, fleet.Brake{}); err != nil {
		return before, err
	}
	err = l.store.AppendEvents(ctx, fleet.Event{
		At: now, Actor: who.User, Kind: "brake.released", Message: who.User + " let everything go that is due",
	})
	l.bus.Nudge(bus.Plan)
	return fleet.Brake{}, err
}

// Check tells whether the brake is on.
func (l *Limiter) Check(ctx context.Context) doctor.Check {
	b, err := l.State(ctx)
	switch {
	case err != nil:
		return doctor.Check{Name: "brake", Status: doctor.Warning, Message: "whether the brake is on cannot be read: " + err.Error(), Hint: "see the check of the store"}
	case b.On():
		return doctor.Check{Name: "brake", Status: doctor.Warning, Message: b.Reason + "; leases end slowly", Hint: "if the time is right, let go what is due: bothy brake release"}
	}
	return doctor.Check{Name: "brake", Status: doctor.OK, Message: "nothing holds the end of leases back"}
}
