// Package plan decides what happens next to every environment. It is one pure function over sorted values: no clock, no ids, no I/O, no
// map iteration. The engine's controller records the actions that it returns, and workers execute them.
//
// The brake keeps a wrong clock from causing mass expiry. While time passes normally, leases that end together are reaped together,
// however many they are. When more than a minute has passed since the last plan (the clock jumped, the machine slept, the daemon was
// down), at most a quarter of the live environments, or five, are reaped at once; the rest follow slowly, and the plan reports it, until
// nothing is due or a person releases the brake. A clock that jumps back makes nothing due.
//
// An environment on a lost host is left alone until the host is back: it counts and is reported, but no action is recorded for it. Only a
// create on it is given up at its deadline, as everywhere. Environments older than a restored database are left alone, whatever their
// rows say, until a person has decided.
package plan

import (
	"cmp"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Compute decides, in this order: reap expired environments as far as the brake allows, destroy failed ones, give up overdue creates,
// refuse requests that have waited too long, warn of leases that end soon, shrink and renew pools, admit people, fairly across teams,
// then refill pools with the remaining capacity.
//
// It cannot over-create: it counts rows in flight, and a row is written before anything is created.
func Compute(s Snapshot, now time.Time) Plan {
	p := newPlanner(&s, now)
	p.classify()
	p.reap()
	p.destroyFailed()
	p.giveUp()
	p.refuse()
	p.warn()
	p.tidyPools()
	p.admit()
	p.refill()
	return p.plan
}

// planner is a plan in progress.
type planner struct {
	s    *Snapshot
	now  time.Time
	plan Plan

	hosts  []*host // by name
	byHost map[string]*host
	pools  []*pool // by name
	byPool map[string]*pool

	// The findings of classify, each by age; due by the end of the lease.
	live, making                 int
	due                          []ended
	failed, overdue, low, strays []*fleet.Environment
	asked                        []*fleet.Environment
	// reserved is the reservation of the first request that waits for leases to end; nil without one.
	reserved *reservation
	// promises counts the requests that wait for capacity about to be free.
	promises int
	// waiting: a person waits for available capacity, so pools stand back.
	waiting bool
}

func newPlanner(s *Snapshot, now time.Time) *planner {
	p := &planner{s: s, now: now}
	p.plan.Brake = s.Brake
	p.openHosts()
	p.openPools()
	return p
}

// classify looks at every environment once.
func (p *planner) classify() {
	for i := range p.s.Environments {
		env := &p.s.Environments[i]
		if !env.State.Live() {
			continue
		}
		p.live++
		h := p.byHost[env.Host]
		if env.State != fleet.Pending && h != nil {
			h.take(env)
		}
		if env.Doubted {
			continue
		}
		p.file(env, h)
		if env.Pool != "" && !env.Lease.Held() {
			p.member(env, h)
		}
	}
	for _, list := range [][]*fleet.Environment{p.failed, p.overdue, p.low, p.asked, p.strays} {
		slices.SortFunc(list, byAge)
	}
}

// file adds an environment to the lists that concern it.
func (p *planner) file(env *fleet.Environment, h *host) {
	lost := h != nil && h.lost
	switch env.State {
	case fleet.Pending:
		if env.Pool == "" {
			p.asked = append(p.asked, env)
		}
	case fleet.Provisioning:
		if h == nil || h.Down == "" { // a create that hangs on one host takes no slot from the others
			p.making++
		}
		if env.Pool == "" {
			h.endsIn(env, p.staysFor(env))
		}
		p.consider(deadline(env, p.now))
		if late(env, p.now) {
			p.overdue = append(p.overdue, env)
		}
	case fleet.Leased:
		if !lost {
			p.fileLeased(env, h)
		}
	case fleet.Failed:
		if !lost {
			p.failed = append(p.failed, env)
		}
	}
}

func (p *planner) fileLeased(env *fleet.Environment, h *host) {
	ends := env.Lease.Ends()
	if env.Lease.Held() && !p.now.Before(ends) {
		p.due = append(p.due, ended{env, p.now.Sub(ends)})
		return
	}
	p.consider(ends)
	h.endsIn(env, ends.Sub(p.now))
	switch {
	case env.Lease.Warned || !env.Lease.Held():
	case env.Lease.Warning(p.now):
		p.low = append(p.low, env)
	default:
		p.consider(warnAt(env.Lease))
	}
}

// consider notes a moment at which time alone changes the plan.
func (p *planner) consider(at time.Time) {
	if at.After(p.now) && (p.plan.Next.IsZero() || at.Before(p.plan.Next)) {
		p.plan.Next = at
	}
}

func (p *planner) act(kind Kind, env *fleet.Environment, cause, reason string) {
	p.plan.Actions = append(p.plan.Actions, Action{
		Kind: kind, EnvironmentID: env.ID, Revision: env.Revision, Cause: cause, Reason: reason,
	})
}

// destroy plans the destruction of an environment; its capacity is about to be free.
func (p *planner) destroy(env *fleet.Environment, cause, reason string) {
	if h := p.byHost[env.Host]; h != nil && env.State != fleet.Pending {
		h.soon = sum(h.soon, needOf(env.Size))
	}
	p.act(Destroy, env, cause, reason)
}

func byAge(a, b *fleet.Environment) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
}
