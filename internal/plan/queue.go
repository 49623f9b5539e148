package plan

import (
	"cmp"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// starvedAfter is how long a team may wait without being served before it comes first.
const starvedAfter = 10 * time.Minute

// team is a team with requests, and what it has.
type team struct {
	weight float64
	// use is the usage of its environments, and of requests ordered before.
	use fleet.Capacity
	// served is when it last got an environment that it still has; moves: that time moves with the plan.
	served time.Time
	moves  bool
	// asked are its requests that are not ordered yet, by age.
	asked []*fleet.Environment
}

// starved is since when the team's first request waits without the team being served.
func (t *team) starved() time.Time {
	if since := t.asked[0].CreatedAt; since.After(t.served) {
		return since
	}
	return t.served
}

type teamName struct{ tenant, team string }

func nameOf(env *fleet.Environment) teamName { return teamName{env.Tenant, env.Team} }

// queue orders the requests. Those that no open host could run come last: they cannot be served, and nobody waits for them.
func (p *planner) queue() (possible, hopeless []*fleet.Environment) {
	for _, env := range p.asked {
		if p.possible(needOf(env.Size)) {
			possible = append(possible, env)
		} else {
			hopeless = append(hopeless, env)
		}
	}
	teams := p.teams()
	norm := p.norm(teams)
	return p.order(possible, teams, norm), p.order(hopeless, teams, norm)
}

// teams returns the teams with requests, and what they have.
func (p *planner) teams() map[teamName]*team {
	teams := map[teamName]*team{}
	for _, env := range p.asked {
		if teams[nameOf(env)] == nil {
			teams[nameOf(env)] = &team{weight: 1}
		}
	}
	for _, w := range p.s.Weights {
		if t := teams[teamName{w.Tenant, w.Team}]; t != nil && w.Weight > 0 {
			t.weight = float64(w.Weight)
		}
	}
	for i := range p.s.Environments {
		env := &p.s.Environments[i]
		if env.State == fleet.Pending || !env.State.Live() {
			continue
		}
		if t := teams[nameOf(env)]; t != nil {
			t.use = sum(t.use, needOf(env.Size))
			t.served = latest(t.served, p.servedAt(env))
			t.moves = t.moves || env.State == fleet.Provisioning
		}
	}
	return teams
}

// servedAt is when a team got an environment, as far as the row tells.
func (p *planner) servedAt(env *fleet.Environment) time.Time {
	if env.State == fleet.Provisioning {
		return p.now
	}
	return latest(env.ReadyAt, env.Lease.Start)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// norm is what usage is measured against: the capacity of the open hosts or, where that is unlimited, everything that the requesting
// teams have and ask for.
func (p *planner) norm(teams map[teamName]*team) [3]float64 {
	var capacity, wanted fleet.Capacity
	bounded := [3]bool{true, true, true}
	for _, h := range p.hosts {
		if !h.open() {
			continue
		}
		capacity = sum(capacity, h.Capacity)
		for i, c := range parts(h.Capacity) {
			bounded[i] = bounded[i] && c > 0
		}
	}
	for _, t := range teams {
		wanted = sum(wanted, t.use)
	}
	for _, env := range p.asked {
		wanted = sum(wanted, needOf(env.Size))
	}
	var norm [3]float64
	for i, w := range parts(wanted) {
		norm[i] = float64(max(w, 1))
		if c := parts(capacity)[i]; bounded[i] && c > 0 {
			norm[i] = float64(c)
		}
	}
	return norm
}

// order serves the team with the lowest usage for its weight first, then the next as if the first had been served, and so on; within a
// team, the oldest request.
//
// A team that has not been served for too long while it asked comes before all others, and once its request is first, it stays first.
// Otherwise capacity that others release would count for nobody: their owners would seem unserved and take the reserved capacity. So
// every team advances, however much the others ask for, and because the order within a team is fixed, every request does.
func (p *planner) order(asked []*fleet.Environment, teams map[teamName]*team, norm [3]float64) []*fleet.Environment {
	var waiting []*team
	for _, env := range asked {
		t := teams[nameOf(env)]
		if len(t.asked) == 0 {
			waiting = append(waiting, t)
		}
		t.asked = append(t.asked, env)
	}
	for _, t := range waiting {
		if !t.moves {
			p.consider(t.starved().Add(starvedAfter))
		}
	}
	out := make([]*fleet.Environment, 0, len(asked))
	for len(waiting) > 0 {
		next := slices.MinFunc(waiting, func(a, b *team) int { return p.before(a, b, norm) })
		env := next.asked[0]
		out = append(out, env)
		next.asked = next.asked[1:]
		next.use = sum(next.use, needOf(env.Size))
		next.served, next.moves = p.now, true
		if len(next.asked) == 0 {
			waiting = slices.DeleteFunc(waiting, func(t *team) bool { return t == next })
		}
	}
	return out
}

func (p *planner) before(a, b *team, norm [3]float64) int {
	sinceA, sinceB := a.starved(), b.starved()
	starvedA, starvedB := p.starving(sinceA), p.starving(sinceB)
	switch {
	case starvedA && starvedB:
		return cmp.Or(-cmp.Compare(a.stays(), b.stays()), sinceA.Compare(sinceB), byAge(a.asked[0], b.asked[0]))
	case starvedA:
		return -1
	case starvedB:
		return 1
	}
	return cmp.Or(cmp.Compare(a.share(norm), b.share(norm)), byAge(a.asked[0], b.asked[0]))
}

func (p *planner) starving(since time.Time) bool { return p.now.Sub(since) >= starvedAfter }

// stays is 1 when the last plan put the team's request first.
func (t *team) stays() int {
	if t.asked[0].Queue.Rank == 1 {
		return 1
	}
	return 0
}

// share is the team's share of its scarcest resource, by its weight.
func (t *team) share(norm [3]float64) float64 {
	share := 0.0
	for i, use := range parts(t.use) {
		share = max(share, float64(use)/norm[i])
	}
	return share / t.weight
}
