package plan

import (
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// reservation is the room that is kept for the first request that waits for leases to end.
type reservation struct {
	host *host
	// in is when enough leases will have ended, counted from now; never when that cannot be told.
	in time.Duration
	// used is what will stand on the host then, the request and all that was let in beside it included.
	used fleet.Capacity
}

// admit starts people's requests in the queue's order. One that does not fit waits, and what comes
// after it may pass only where it does not delay it:
//
//   - when room that is about to be free is enough, that room is promised to it;
//   - else warm members of pools that nobody waits for give way, if that is enough;
//   - else the first such request gets a reservation for when enough leases have ended, and others
//     may start on that host if they fit beside it or end before.
func (p *planner) admit() {
	if len(p.asked) == 0 {
		return
	}
	possible, hopeless := p.queue()
	p.sortEnds()
	p.findSpare()
	var waiting []*fleet.Environment
	for _, env := range possible {
		if causes := p.serve(env); len(causes) > 0 {
			p.waiting = true
			waiting = append(waiting, env)
			p.wait(env, causes)
		}
	}
	for _, env := range hopeless {
		p.wait(env, p.whyNowhere(needOf(env.Size)))
	}
	p.estimate(waiting)
}

// serve starts a request, or says why it waits.
func (p *planner) serve(env *fleet.Environment) []Cause {
	if p.making >= p.s.Concurrency {
		return []Cause{{Kind: CauseBusy}}
	}
	need, stays := needOf(env.Size), p.staysFor(env)
	mayTake := func(h *host) bool { return h.room(need) && !p.delays(h, need, stays) }
	if h := p.choose(need, mayTake); h != nil {
		p.start(env, h)
		return nil
	}
	causes := p.whyFull(need)
	if p.choose(need, func(h *host) bool { return fits(h.Capacity, sum(h.used, need)) }) != nil {
		causes = []Cause{{Kind: CauseKept}}
	}
	mayPromise := func(h *host) bool { return h.roomSoon(need) && !p.delays(h, need, stays) }
	h := p.choose(need, mayPromise)
	if h == nil && p.reserved == nil && p.making+p.promises < p.s.Concurrency {
		h = p.evict(env)
	}
	switch {
	case h != nil:
		p.promises++
		h.promised = sum(h.promised, need)
		p.let(h, need, stays)
	case p.reserved == nil:
		p.reserve(need)
	}
	return causes
}

// start places an environment; it is made from now on.
func (p *planner) start(env *fleet.Environment, h *host) {
	need, stays := needOf(env.Size), p.staysFor(env)
	h.used = sum(h.used, need)
	h.ends = insert(h.ends, end{in: stays, need: need})
	p.let(h, need, stays)
	p.making++
	p.plan.Actions = append(p.plan.Actions, Action{Kind: Start, EnvironmentID: env.ID, Revision: env.Revision, Host: h.Name})
}

// delays reports whether one that stays for so long would be in the way of the reservation.
func (p *planner) delays(h *host, need fleet.Capacity, stays time.Duration) bool {
	r := p.reserved
	return r != nil && r.host == h && stays > r.in && !fits(h.Capacity, sum(r.used, need))
}

// let notes that one was let in beside the reservation.
func (p *planner) let(h *host, need fleet.Capacity, stays time.Duration) {
	if r := p.reserved; r != nil && r.host == h && stays > r.in {
		r.used = sum(r.used, need)
	}
}

// reserve keeps the host for a request on which it can start first.
func (p *planner) reserve(need fleet.Capacity) {
	for _, h := range p.hosts {
		if !h.open() || !h.large(need) {
			continue
		}
		g := h.timeline(sum(less(h.used, h.soon), h.promised)).earliest(need)
		if p.reserved == nil || g.at < p.reserved.in {
			p.reserved = &reservation{host: h, in: g.at, used: sum(g.used, need)}
		}
	}
}

// staysFor is how long a request that starts now will be there, extensions aside. A pool's member does not end.
func (p *planner) staysFor(env *fleet.Environment) time.Duration {
	if env.Pool != "" {
		return never
	}
	return later(p.createTime(env), env.Lease.TTL)
}

func (p *planner) createTime(env *fleet.Environment) time.Duration {
	if d, ok := p.s.CreateTimes[env.Blueprint.Digest]; ok && d > 0 {
		return d
	}
	return DefaultCreateTime
}

func (p *planner) wait(env *fleet.Environment, causes []Cause) {
	p.plan.Waiting = append(p.plan.Waiting, Wait{
		EnvironmentID: env.ID, Revision: env.Revision, Rank: len(p.plan.Waiting) + 1, Causes: causes,
	})
}
