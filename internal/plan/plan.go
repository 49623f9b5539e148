// Package plan decides what happens next to every environment. It is one pure
// function over sorted values: no clock, no ids, no input or output, no map iteration.
// What it returns is recorded by the engine's controller and done by its runner.
//
// The brake keeps a wrong clock from ending leases in mass. While time passes as it should, leases
// that end together are reaped together, however many they are. When more than a minute has passed
// since the last plan (the clock jumped, the machine slept, the daemon was down), at most a quarter
// of what lives, or five, is reaped at once; what else is due follows slowly, and the plan says so,
// until nothing is due or a person lets go. A clock that jumps back makes nothing due.
//
// An environment on a lost host is left as it is until the host is back: it counts, it is reported,
// and nothing is recorded for it. Only a create on it is given up at its deadline, as everywhere. What is
// older than a database that was restored is left as it is, whatever its row says, until a person has decided.
package plan

import (
	"cmp"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Compute decides, in this order: reap what has expired as far as the brake lets it, destroy what
// has failed, give up what is overdue, refuse who has waited long enough, warn of leases that end
// soon, shrink and renew pools, admit people, fair across teams, then refill pools with what
// capacity is left.
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

// planner is a plan in the making.
type planner struct {
	s    *Snapshot
	now  time.Time
	plan Plan

	hosts  []*host // by name
	byHost map[string]*host
	pools  []*pool // by name
	byPool map[string]*pool

	// What classify found, each by age; due by when the lease ended.
	live, making                 int
	due                          []ended
	failed, overdue, low, strays []*fleet.Environment
	asked                        []*fleet.Environment
	// reserved is the room that is kept for the first who waits for leases to end; nil when nobody does.
	reserved *reservation
	// promises counts those who wait for room that is about to be free.
	promises int
	// waiting is whether a person waits for what could be given; pools stand back then.
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

// file puts an environment on the lists of what is to be looked at.
func (p *planner) file(env *fleet.Environment, h *host) {
	lost := h != nil && h.lost
	switch env.State {
	case fleet.Pending:
		if env.Pool == "" {
			p.asked = append(p.asked, env)
		}
	case fleet.Provisioning:
		if h == nil || h.Down == "" { // what hangs on one host keeps no place from the others
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

// consider notes a moment at which time alone makes another plan.
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

// destroy plans the end of an environment; the room that it takes is about to be free.
func (p *planner) destroy(env *fleet.Environment, cause, reason string) {
	if h := p.byHost[env.Host]; h != nil && env.State != fleet.Pending {
		h.soon = sum(h.soon, needOf(env.Size))
	}
	p.act(Destroy, env, cause, reason)
}

func byAge(a, b *fleet.Environment) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
}
