package plan

import (
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// reservation is the capacity reserved for the first request that waits for leases to end.
type reservation struct {
	host *host
	// in is the time from now until enough leases have ended; never if unknown.
	in time.Duration
	// used is the usage of the host at that time, the request and everything admitted beside it included.
	used fleet.Capacity
}

// admit starts people's requests in the queue's order. A request that does not fit waits, and a later one may pass only if it does not
// delay it:
//
//   - if capacity that is about to be free suffices, it is promised to the request;
//   - otherwise warm members of pools that no request waits for are evicted, if that suffices;
//   - otherwise the first such request gets a reservation for when enough leases have ended, and others
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

// serve starts a request, or records why it waits.
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

// start places an environment and starts its create.
func (p *planner) start(env *fleet.Environment, h *host) {
	need, stays := needOf(env.Size), p.staysFor(env)
	h.used = sum(h.used, need)
	h.ends = insert(h.ends, end{in: stays, need: need})
	p.let(h, need, stays)
	p.making++
	p.plan.Actions = append(p.plan.Actions, Action{Kind: Start, EnvironmentID: env.ID, Revision: env.Revision, Host: h.Name})
}

// delays reports whether an environment that stays for so long would delay the reservation.
func (p *planner) delays(h *host, need fleet.Capacity, stays time.Duration) bool {
	r := p.reserved
	return r != nil && r.host == h && stays > r.in && !fits(h.Capacity, sum(r.used, need))
}

// let counts an environment that was admitted beside the reservation.
func (p *planner) let(h *host, need fleet.Capacity, stays time.Duration) {
	if r := p.reserved; r != nil && r.host == h && stays > r.in {
		r.used = sum(r.used, need)
	}
}

// reserve reserves the host on which a request can start first.
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

// staysFor is how long a request that starts now will run, without extensions. A member of a pool has no end.
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
