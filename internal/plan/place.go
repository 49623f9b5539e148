package plan

import (
	"cmp"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// host is an engine host and what is planned on it.
type host struct {
	*fleet.Host
	lost bool
	// closed says why nothing can be placed on it now; the zero value when something can.
	closed Cause
	// used is what stands on it, with what this plan starts. soon is the part of it that is about
	// to go, promised what of the room is kept for people who wait for just that.
	used, soon, promised fleet.Capacity
	// filling is how many members of pools are in the making on it.
	filling int
	// ends are when its leases end, in order once somebody asks.
	ends []end
	// spare are the warm members on it that may give way to people, the least needed first.
	spare []*fleet.Environment
}

func (p *planner) openHosts() {
	p.byHost = make(map[string]*host, len(p.s.Hosts))
	for i := range p.s.Hosts {
		h := &host{Host: &p.s.Hosts[i], lost: p.s.Hosts[i].Lost(p.now)}
		h.closed = h.whyClosed(p.s.Unavailable[h.Name], p.now)
		p.hosts = append(p.hosts, h)
		p.byHost[h.Name] = h
		if !h.lost {
			p.consider(h.LostFrom().Add(1))
		}
		if h.Usable(p.now) {
			p.consider(h.Until)
		}
	}
	slices.SortFunc(p.hosts, func(a, b *host) int { return cmp.Compare(a.Name, b.Name) })
}

// open reports whether something can be placed on the host now, as far as there is room.
func (h *host) open() bool { return h.closed == Cause{} }

func (h *host) whyClosed(unavailable string, now time.Time) Cause {
	switch {
	case h.Drained:
		return Cause{Kind: CauseDrained, Host: h.Name}
	case h.Down != "":
		return Cause{Kind: CauseDown, Host: h.Name, Detail: h.Down}
	case !h.Usable(now):
		return Cause{Kind: CauseUnserved, Host: h.Name}
	case unavailable != "":
		return Cause{Kind: CauseUnavailable, Detail: unavailable} // told once, also of several hosts
	}
	return Cause{}
}

// take counts an environment that stands on the host.
func (h *host) take(env *fleet.Environment) {
	need := needOf(env.Size)
	h.used = sum(h.used, need)
	// A destroy that failed before may fail again: its room is not counted on.
	if env.State == fleet.Destroying && env.Work.Attempts == 0 {
		h.soon = sum(h.soon, need)
	}
}

// large reports whether the host could hold it if it were empty.
func (h *host) large(need fleet.Capacity) bool { return fits(h.Capacity, need) }

// roomSoon reports whether it fits once all that is about to go is gone, beside what is promised.
func (h *host) roomSoon(need fleet.Capacity) bool {
	return fits(h.Capacity, sum(less(h.used, h.soon), h.promised, need))
}

// room reports whether it fits now and breaks no promise.
func (h *host) room(need fleet.Capacity) bool {
	return fits(h.Capacity, sum(h.used, need)) && h.roomSoon(need)
}

// calm reports whether one more member of a pool may be made on it now: on a busy host, people's commands come first.
func (p *planner) calm(h *host) bool {
	most, busy := p.s.Busy[h.Name]
	return !busy || h.filling < most
}

// freeAfter is the share of the scarcest thing that is left after placing; 1 when nothing is bounded.
func (h *host) freeAfter(need fleet.Capacity) float64 {
	free := 1.0
	after := parts(sum(h.used, need))
	for i, c := range parts(h.Capacity) {
		if c > 0 {
			free = min(free, float64(c-after[i])/float64(c))
		}
	}
	return free
}

// choose gives the allowed open host with the most room left after placing, nil when there is none.
// Where nothing is bounded, the one with the fewest environments, then the first by name.
func (p *planner) choose(need fleet.Capacity, allowed func(*host) bool) *host {
	var best *host
	for _, h := range p.hosts {
		if !h.open() || !allowed(h) {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(best.freeAfter(need), h.freeAfter(need)),
			cmp.Compare(h.used.Environments, best.used.Environments)) < 0 {
			best = h
		}
	}
	return best
}

// possible reports whether an open host is large enough at all.
func (p *planner) possible(need fleet.Capacity) bool {
	return p.choose(need, func(h *host) bool { return h.large(need) }) != nil
}

// whyNowhere says why no host can take it, however long it waits, as things are.
func (p *planner) whyNowhere(need fleet.Capacity) []Cause {
	if len(p.hosts) == 0 {
		return []Cause{{Kind: CauseNoHost}}
	}
	causes := p.closedTo(need)
	switch {
	case len(causes) == 0:
		return []Cause{{Kind: CauseTooLarge}}
	case len(causes) == len(p.hosts) && !slices.ContainsFunc(causes, func(c Cause) bool { return c.Kind != CauseUnserved }):
		return []Cause{{Kind: CauseNoneServed}}
	}
	return causes
}

// whyFull says that it waits for room, and what keeps hosts that could hold it from being used.
func (p *planner) whyFull(need fleet.Capacity) []Cause {
	causes := p.closedTo(need)
	if len(causes) == 0 {
		return []Cause{{Kind: CauseFull}}
	}
	return append([]Cause{{Kind: CauseRestFull}}, causes...)
}

// closedTo says what keeps each host that could hold it, if it were empty, from being used.
func (p *planner) closedTo(need fleet.Capacity) []Cause {
	var causes []Cause
	for _, h := range p.hosts {
		if !h.open() && h.large(need) && !slices.Contains(causes, h.closed) {
			causes = append(causes, h.closed)
		}
	}
	return causes
}

// needOf is what an environment of a size takes of a host.
func needOf(size fleet.Size) fleet.Capacity {
	return fleet.Capacity{Environments: 1, MilliCPUs: size.MilliCPUs(), MemoryMiB: size.MemoryMiB}
}

func fits(capacity, use fleet.Capacity) bool {
	return (capacity.Environments == 0 || use.Environments <= capacity.Environments) &&
		(capacity.MilliCPUs == 0 || use.MilliCPUs <= capacity.MilliCPUs) &&
		(capacity.MemoryMiB == 0 || use.MemoryMiB <= capacity.MemoryMiB)
}

func sum(all ...fleet.Capacity) fleet.Capacity {
	var s fleet.Capacity
	for _, c := range all {
		s.Environments += c.Environments
		s.MilliCPUs += c.MilliCPUs
		s.MemoryMiB += c.MemoryMiB
	}
	return s
}

func less(a, b fleet.Capacity) fleet.Capacity {
	return fleet.Capacity{
		Environments: a.Environments - b.Environments,
		MilliCPUs:    a.MilliCPUs - b.MilliCPUs,
		MemoryMiB:    a.MemoryMiB - b.MemoryMiB,
	}
}

func parts(c fleet.Capacity) [3]int64 { return [3]int64{c.Environments, c.MilliCPUs, c.MemoryMiB} }
