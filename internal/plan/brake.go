package plan

import (
	"fmt"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

const (
	// maxJump is the largest clock jump that does not engage the brake.
	maxJump = 60 * time.Second
	// trickleEvery is how often the engaged brake releases some environments.
	trickleEvery = 60 * time.Second
	// fewest is the number of environments that the brake always releases.
	fewest = 5
)

// brake returns how many of those due may be reaped now.
func (p *planner) brake(due int) int {
	switch {
	case p.s.Brake.On():
		return p.trickle(due)
	case p.s.Jumped <= maxJump:
		return due
	}
	let := max(fewest, p.live/4)
	if due <= let {
		return due
	}
	p.plan.Brake = fleet.Brake{
		Since: p.now, Live: p.live, Reaped: let, Last: p.now,
		Reason: fmt.Sprintf("time jumped by %s and %d of %d environments came due at once: "+
			"reaping a quarter now and the rest slowly", p.s.Jumped.Truncate(time.Second), due, p.live),
	}
	p.holdBack(due - let)
	return let
}

// trickle releases a twentieth each minute, until nothing is due.
func (p *planner) trickle(due int) int {
	b := &p.plan.Brake
	let := 0
	switch {
	case p.now.Before(b.Last):
		// The clock was set back: restart the minute, or the rest would wait for the old time.
		b.Last = p.now
	case p.now.Sub(b.Last) >= trickleEvery:
		let = min(due, max(1, b.Live/20))
	}
	if due == let {
		*b = fleet.Brake{}
		return let
	}
	if let > 0 {
		b.Reaped += let
		b.Last = p.now
	}
	p.holdBack(due - let)
	return let
}

func (p *planner) holdBack(due int) {
	p.plan.Braked = due
	p.consider(p.plan.Brake.Last.Add(trickleEvery))
}
