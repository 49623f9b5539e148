package plan

import (
	"slices"

	"github.com/bothy-env/bothy/internal/fleet"
)

// evict destroys warm members that no request waits for to make room for a request, on the host where the fewest suffice, and only if
// they suffice.
func (p *planner) evict(env *fleet.Environment) *host {
	need := needOf(env.Size)
	var best *host
	var bestOut []*fleet.Environment
	for _, h := range p.hosts {
		if !h.open() || !h.large(need) {
			continue
		}
		out, enough := h.makeRoom(need)
		if enough && (best == nil || len(out) < len(bestOut)) {
			best, bestOut = h, out
		}
	}
	for _, m := range bestOut {
		p.destroy(m, "surplus", "making room for "+env.Name)
	}
	if best != nil {
		best.spare = slices.DeleteFunc(best.spare, func(m *fleet.Environment) bool { return slices.Contains(bestOut, m) })
	}
	return best
}

// makeRoom returns the spare members to destroy so that something fits, the least needed first.
func (h *host) makeRoom(need fleet.Capacity) (out []*fleet.Environment, enough bool) {
	use := sum(less(h.used, h.soon), h.promised, need)
	for _, m := range h.spare {
		if fits(h.Capacity, use) {
			break
		}
		use = less(use, needOf(m.Size))
		out = append(out, m)
	}
	if !fits(h.Capacity, use) {
		return nil, false
	}
	// A larger member chosen last may make some of the earlier ones unnecessary.
	out = slices.DeleteFunc(out, func(m *fleet.Environment) bool {
		with := sum(use, needOf(m.Size))
		if fits(h.Capacity, with) {
			use = with
			return true
		}
		return false
	})
	return out, true
}

// findSpare lists on each host the warm members that no request waits for, the least needed first: old ones, then those above their
// pool's minimum, then the rest; each by age.
func (p *planner) findSpare() {
	wanted := map[string]bool{}
	for _, env := range p.asked {
		wanted[env.MatchKey] = true
	}
	var tiers [3][]*fleet.Environment
	for _, pl := range p.pools {
		above := len(pl.warm) - pl.Min
		for i, m := range slices.Concat(pl.old, pl.warm) {
			tier := 2
			switch {
			case i < len(pl.old):
				tier = 0
			case i-len(pl.old) < above:
				tier = 1
			}
			if !wanted[m.MatchKey] {
				tiers[tier] = append(tiers[tier], m)
			}
		}
	}
	for _, tier := range tiers {
		slices.SortFunc(tier, byAge)
		for _, m := range tier {
			if h := p.byHost[m.Host]; h != nil {
				h.spare = append(h.spare, m)
			}
		}
	}
}
