package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
)

// recordBrake keeps a brake that a plan has put on, moved or taken off, and tells of it. Until it is kept nothing of the plan is done.
func (e *Engine) recordBrake(ctx context.Context, before fleet.Brake, p plan.Plan, now time.Time) error {
	if p.Brake == before {
		return nil
	}
	if err := e.saveBrake(ctx, p.Brake); err != nil {
		return err
	}
	switch {
	case p.Brake.On() && !before.On():
		e.logger.Warn("the brake is on: leases end slowly", "reason", p.Brake.Reason, "held_back", p.Braked)
		return e.store.AppendEvents(ctx, fleet.Event{
			At: now, Actor: journal.Self, Kind: "brake.on",
			Message: fmt.Sprintf("%s; %d environments are due and are taken away slowly", p.Brake.Reason, p.Braked),
		})
	case !p.Brake.On():
		e.logger.Info("the brake is off: leases end as usual", "taken_away", before.Reaped)
		return e.store.AppendEvents(ctx, fleet.Event{
			At: now, Actor: journal.Self, Kind: "brake.off", Message: fmt.Sprintf("nothing is overdue any more; it let %d go", before.Reaped),
		})
	}
	return nil
}

func (e *Engine) saveBrake(ctx context.Context, b fleet.Brake) error {
	text := ""
	if b.On() {
		encoded, err := json.Marshal(b)
		if err != nil {
			return fmt.Errorf("encode the brake: %w", err)
		}
		text = string(encoded)
	}
	return e.store.SetSetting(ctx, settingBrake, text)
}

// Brake tells whether the brake is on, and why.
func (e *Engine) Brake(ctx context.Context, _ fleet.Identity) (fleet.Brake, error) {
	return e.brake(ctx)
}

// ReleaseBrake lets everything go that is due.
func (e *Engine) ReleaseBrake(ctx context.Context, who fleet.Identity) (fleet.Brake, error) {
	before, err := e.brake(ctx)
	if err != nil || !before.On() {
		return before, err
	}
	now := e.Now()
	// The time goes first: with the brake off and an old time, the next plan would put it on again.
	if err := e.clock.NotePlan(ctx, e.store, now); err != nil {
		return before, err
	}
	if err := e.saveBrake(ctx, fleet.Brake{}); err != nil {
		return before, err
	}
	err = e.store.AppendEvents(ctx, fleet.Event{
		At: now, Actor: who.User, Kind: "brake.released", Message: who.User + " let everything go that is due",
	})
	e.bus.Nudge(bus.Plan)
	return fleet.Brake{}, err
}

func (e *Engine) checkBrake(ctx context.Context) Check {
	b, err := e.brake(ctx)
	switch {
	case err != nil:
		return Check{Name: "brake", Status: Warning, Message: "whether the brake is on cannot be read: " + err.Error(), Hint: "see the check of the store"}
	case b.On():
		return Check{Name: "brake", Status: Warning, Message: b.Reason + "; leases end slowly", Hint: "if the time is right, let go what is due: bothy brake release"}
	}
	return Check{Name: "brake", Status: OK, Message: "nothing holds the end of leases back"}
}
