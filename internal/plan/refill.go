package plan

import (
	"fmt"
	"slices"

	"github.com/bothy-env/bothy/internal/fleet"
)

// refill starts pending members, and writes new ones where there is capacity. While a person waits for available capacity, pools stand
// back.
func (p *planner) refill() {
	if p.waiting {
		return
	}
	p.startMembers()
	wanted := make([]int, len(p.pools))
	// One for each in turn, so that the first by name does not take all the capacity.
	for again := true; again; {
		again = false
		for i, pl := range p.pools {
			if pl.wants(wanted[i]) && p.keepRoom(needOf(pl.Size)) {
				wanted[i]++
				again = true
			}
		}
	}
	for i, pl := range p.pools {
		if wanted[i] > 0 {
			p.plan.Actions = append(p.plan.Actions, Action{
				Kind: Refill, Pool: pl.Name, Revision: pl.Revision, Count: wanted[i], Cause: "refill",
				Reason: fmt.Sprintf("%d of %d are ready or being created", pl.coming(), pl.target),
			})
		}
		p.unblock(pl, wanted[i])
	}
}

// wants reports whether one more than the given number of new members may be written for the pool. Max bounds all existing members,
// including those being destroyed.
func (pl *pool) wants(written int) bool {
	return !pl.stopped() &&
		pl.coming()+written < pl.target &&
		pl.coming()+len(pl.old)+written < pl.most() &&
		pl.all+written < pl.Max
}

// most is how many members may be ready or being created. A pool that may neither grow nor fall below its minimum could never be renewed:
// it gets one more. Max bounds both.
func (pl *pool) most() int {
	if pl.Surge == 0 && pl.Min >= pl.target {
		return pl.target + 1
	}
	return pl.target + pl.Surge
}

// keepRoom reserves capacity for a member that will be written.
func (p *planner) keepRoom(need fleet.Capacity) bool {
	h := p.choose(need, func(h *host) bool { return h.room(need) })
	if h == nil {
		return false
	}
	h.used = sum(h.used, need)
	return true
}

// startMembers starts pending members, the oldest first, as far as capacity and concurrency allow, and only a few at a time on a busy
// host. Members that do not fit stay pending; those of a stopped pool are not tried.
func (p *planner) startMembers() {
	var pending []*fleet.Environment
	for _, pl := range p.pools {
		if !pl.stopped() {
			pending = append(pending, pl.pending...)
		}
	}
	slices.SortFunc(pending, byAge)
	for _, env := range pending {
		need := needOf(env.Size)
		h := p.choose(need, func(h *host) bool { return h.room(need) && p.calm(h) })
		calm := h != nil
		if !calm {
			h = p.choose(need, func(h *host) bool { return h.room(need) })
		}
		switch {
		case h == nil:
			p.byPool[env.Pool].stuck = true
		case calm && p.making < p.s.Concurrency:
			p.start(env, h)
			h.filling++
		default:
			h.used = sum(h.used, need)
		}
	}
}

// unblock destroys old members before their successors are ready, if these cannot be created beside them: at most a quarter of the target
// at a time, and never below the minimum. If none may be destroyed, it reports the pool as stuck.
func (p *planner) unblock(pl *pool, written int) {
	if pl.stopped() || written > 0 || pl.leaving > 0 || len(pl.making) > 0 || len(pl.old) == 0 {
		return
	}
	short := len(pl.pending) == 0 && pl.coming() < pl.target
	if !short && !pl.stuck {
		return
	}
	need := needOf(pl.Size)
	full := p.choose(need, func(h *host) bool { return h.room(need) }) == nil
	n, gone := min(max(1, pl.target/4), pl.ready()-pl.Min), 0
	for _, env := range pl.old {
		if gone >= n {
			break
		}
		// Without capacity, only freeing capacity helps.
		if h := p.byHost[env.Host]; full && (h == nil || !h.open() || !h.large(need)) {
			continue
		}
		p.replace(pl, env)
		gone++
	}
	if gone == 0 && !pl.tidied {
		p.plan.Stuck = append(p.plan.Stuck, stuck(pl))
	}
}

// stuck returns why a pool with old members, none of which may be destroyed, gets no new ones either.
func stuck(pl *pool) Stuck {
	spare := pl.ready() > pl.Min
	s := Stuck{Pool: pl.Name, Full: spare || pl.stuck || pl.all < pl.Max}
	switch {
	case spare:
		s.Reason = "no host has room for a new member, and destroying an old one would not make enough"
	case s.Full:
		s.Reason = fmt.Sprintf("its minimum of %d lets no old member go first, and no host has room for a new one beside them", pl.Min)
	default:
		s.Reason = fmt.Sprintf("its minimum of %d lets no old member go first, and its maximum of %d no new one be made beside them", pl.Min, pl.Max)
	}
	return s
}
