package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// ended is an environment whose lease ended some time ago.
type ended struct {
	*fleet.Environment
	ago time.Duration
}

// reap destroys environments whose lease has ended, the longest ago first, as far as the brake allows.
func (p *planner) reap() {
	slices.SortFunc(p.due, func(a, b ended) int {
		if a.ago != b.ago {
			return cmp.Compare(b.ago, a.ago)
		}
		return cmp.Compare(a.ID, b.ID)
	})
	let := p.brake(len(p.due))
	for _, env := range p.due[:let] {
		if env.Lease.Ends().Before(env.Lease.End) {
			p.destroy(env.Environment, "idle", fmt.Sprintf("it was idle for %s", env.Lease.Idle))
		} else {
			p.destroy(env.Environment, "expired", "its lease ended")
		}
	}
	for _, env := range p.due[let:] {
		p.byHost[env.Host].endsIn(env.Environment, 0)
	}
}

// destroyFailed destroys failed environments, which may have left resources.
func (p *planner) destroyFailed() {
	for _, env := range p.failed {
		p.destroy(env, "failed", "it failed; its leftovers are being removed")
	}
}

// giveUp fails creates past their deadline that no worker has. A running one ends by its own timeout first.
func (p *planner) giveUp() {
	for _, env := range p.overdue {
		p.act(GiveUp, env, "deadline", "it was not ready by its deadline")
	}
}

func late(env *fleet.Environment, now time.Time) bool {
	at := deadline(env, now)
	return env.State == fleet.Provisioning && !at.IsZero() && !at.After(now)
}

// deadline is when a create may be given up: at its deadline, but not while a worker has it. Zero for never.
func deadline(env *fleet.Environment, now time.Time) time.Time {
	at := env.Work.Deadline
	if at.IsZero() || env.Work.Worker == "" || !now.Before(env.Work.Until) || at.After(env.Work.Until) {
		return at
	}
	return env.Work.Until
}

// refuse ends the requests whose time to wait is over.
func (p *planner) refuse() {
	waiting := p.asked[:0]
	for _, env := range p.asked {
		until := env.Queue.Until
		if until.IsZero() || until.After(p.now) {
			p.consider(until)
			waiting = append(waiting, env)
			continue
		}
		p.act(Refuse, env, "queue-timeout", fmt.Sprintf("it waited for %s, its limit", until.Sub(env.CreatedAt)))
	}
	p.asked = waiting
}

// warn warns the holders of leases that end soon, once.
func (p *planner) warn() {
	for _, env := range p.low {
		p.act(Warn, env, "lease-low", "under 10 % of its lease is left")
	}
}

// warnAt is the first moment at which under 10 % of a lease is left.
func warnAt(l fleet.Lease) time.Time {
	total := l.End.Sub(l.Start)
	tenth := total / 10
	if total%10 != 0 {
		tenth++
	}
	return l.End.Add(1 - tenth)
}
