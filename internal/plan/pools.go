package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/bothy-env/bothy/internal/fleet"
)

// maxFailures is how many consecutive creates may fail before a pool is held.
const maxFailures = 3

// pool is a pool and its members: those that were created for it and not claimed.
type pool struct {
	*Pool
	target int
	// pending, making and warm are current members; unripe are not ready and of an older digest; old are warm and to be replaced: of an
	// older digest, or on a drained host.
	pending, making, warm, unripe, old []*fleet.Environment
	// all counts the existing members in any state; leaving those being destroyed.
	all, leaving int
	// stuck: a pending member found no capacity; tidied: this plan destroys members.
	stuck, tidied bool
	// failure is the newest failure of a member.
	failure *fleet.Failure
}

func (p *planner) openPools() {
	p.byPool = make(map[string]*pool, len(p.s.Pools))
	for i := range p.s.Pools {
		pl := &pool{Pool: &p.s.Pools[i]}
		pl.target = TargetNow(pl.Pool.Pool, p.now)
		p.consider(nextTarget(pl.Pool.Pool, p.now))
		p.pools = append(p.pools, pl)
		p.byPool[pl.Name] = pl
	}
	slices.SortFunc(p.pools, func(a, b *pool) int { return cmp.Compare(a.Name, b.Name) })
}

// stopped reports whether the pool gets no new members.
func (pl *pool) stopped() bool { return pl.Held != "" || pl.Broken != "" || pl.Failures >= maxFailures }

// ready is how many members can be claimed, old ones included.
func (pl *pool) ready() int { return len(pl.warm) + len(pl.old) }

// coming is how many members of the current digest are ready or will be.
func (pl *pool) coming() int { return len(pl.warm) + len(pl.making) + len(pl.pending) }

// member adds an environment to its pool.
func (p *planner) member(env *fleet.Environment, h *host) {
	pl, lost := p.byPool[env.Pool], h != nil && h.lost
	if pl == nil {
		unused := env.State == fleet.Pending || env.State == fleet.Provisioning || env.State == fleet.Warm
		if unused && !lost && !late(env, p.now) {
			p.strays = append(p.strays, env)
		}
		return
	}
	pl.all++
	pl.learn(env.Failure)
	if env.State == fleet.Provisioning && h != nil {
		h.filling++
	}
	// Without a blueprint there is nothing newer to replace it with.
	stale := env.MatchKey != pl.MatchKey && pl.Broken == ""
	switch {
	case lost:
	case env.State == fleet.Failed || env.State == fleet.Destroying || late(env, p.now):
		pl.leaving++
	case env.State == fleet.Warm && (stale || (h != nil && h.Drained)):
		pl.old = append(pl.old, env)
	case env.State == fleet.Warm:
		pl.warm = append(pl.warm, env)
	case stale:
		pl.unripe = append(pl.unripe, env)
	case env.State == fleet.Provisioning:
		pl.making = append(pl.making, env)
	case env.State == fleet.Pending:
		pl.pending = append(pl.pending, env)
	}
}

func (pl *pool) learn(f *fleet.Failure) {
	if f == nil {
		return
	}
	if pl.failure == nil || cmp.Or(f.At.Compare(pl.failure.At), cmp.Compare(f.Sentence, pl.failure.Sentence)) > 0 {
		pl.failure = f
	}
}

// tidyPools destroys unwanted members of pools, and holds pools that keep failing.
func (p *planner) tidyPools() {
	for _, env := range p.strays {
		p.destroy(env, "pool-removed", fmt.Sprintf("its pool %s was removed", env.Pool))
	}
	for _, pl := range p.pools {
		for _, list := range [][]*fleet.Environment{pl.pending, pl.making, pl.warm, pl.unripe, pl.old} {
			slices.SortFunc(list, byAge)
		}
		if pl.Failures >= maxFailures && pl.Held == "" {
			p.hold(pl)
		}
		before := len(p.plan.Actions)
		p.shrink(pl)
		pl.tidied = len(p.plan.Actions) > before
	}
}

func (p *planner) hold(pl *pool) {
	reason := fmt.Sprintf("%d creates in a row failed", pl.Failures)
	if pl.failure != nil {
		reason += ", the last one because " + pl.failure.Sentence
	}
	p.plan.Actions = append(p.plan.Actions, Action{
		Kind: Hold, Pool: pl.Name, Revision: pl.Revision, Cause: "breaker", Reason: reason,
	})
}

// shrink destroys members above the target: first those that are not ready, the youngest first, then warm ones, old digests and the
// oldest first. So old members are replaced only as fast as new ones become warm.
func (p *planner) shrink(pl *pool) {
	for _, env := range pl.unripe {
		p.destroy(env, "stale", fmt.Sprintf("its digest is older than that of pool %s", pl.Name))
	}
	reason := fmt.Sprintf("pool %s has more than its target of %d", pl.Name, pl.target)
	for pl.coming() > pl.target && len(pl.pending) > 0 {
		p.destroy(pop(&pl.pending), "surplus", reason)
	}
	for pl.coming() > pl.target && len(pl.making) > 0 {
		p.destroy(pop(&pl.making), "surplus", reason)
	}
	for pl.ready() > pl.target && len(pl.old) > 0 {
		p.replaceOldest(pl)
	}
	for len(pl.warm) > pl.target {
		p.destroy(pl.warm[0], "surplus", reason)
		pl.warm = pl.warm[1:]
	}
}

// replaceOldest destroys the oldest warm member that is to be replaced.
func (p *planner) replaceOldest(pl *pool) {
	p.replace(pl, pl.old[0])
	pl.old = pl.old[1:]
}

func (p *planner) replace(pl *pool, env *fleet.Environment) {
	if env.MatchKey == pl.MatchKey {
		p.destroy(env, "drained", fmt.Sprintf("host %s is drained, and pool %s has others", env.Host, pl.Name))
		return
	}
	p.destroy(env, "stale", fmt.Sprintf("pool %s has a newer digest", pl.Name))
}

// pop removes the youngest.
func pop(list *[]*fleet.Environment) *fleet.Environment {
	last := len(*list) - 1
	env := (*list)[last]
	*list = (*list)[:last]
	return env
}
