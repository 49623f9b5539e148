package plan

import (
	"cmp"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// host is a host and what is planned on it.
type host struct {
	*fleet.Host
	lost bool
	// closed is why nothing can be placed on it now; the zero value when something can.
	closed Cause
	// used is its usage, including what this plan starts. soon is the part about to be free; promised is the part of the capacity
	// reserved for people who wait for that.
	used, soon, promised fleet.Capacity
	// filling is how many members of pools are being created on it.
	filling int
	// ends are the ends of its leases, sorted on first use.
	ends []end
	// spare are the warm members on it that may be evicted for people, the least needed first.
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

// open reports whether environments can be placed on the host now, as far as it has capacity.
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
		return Cause{Kind: CauseUnavailable, Detail: unavailable} // reported once, even for several hosts
	}
	return Cause{}
}

// take counts an environment that runs on the host.
func (h *host) take(env *fleet.Environment) {
	need := needOf(env.Size)
	h.used = sum(h.used, need)
	// A destroy that has failed may fail again: do not count on its capacity.
	if env.State == fleet.Destroying && env.Work.Attempts == 0 {
		h.soon = sum(h.soon, need)
	}
}

// large reports whether the host could run it if it were empty.
func (h *host) large(need fleet.Capacity) bool { return fits(h.Capacity, need) }

// roomSoon reports whether it fits, beside what is promised, once everything about to be destroyed is gone.
func (h *host) roomSoon(need fleet.Capacity) bool {
	return fits(h.Capacity, sum(less(h.used, h.soon), h.promised, need))
}

// room reports whether it fits now and breaks no promise.
func (h *host) room(need fleet.Capacity) bool {
	return fits(h.Capacity, sum(h.used, need)) && h.roomSoon(need)
}

// calm reports whether one more member of a pool may be created on it now: on a busy host, people's commands come first.
func (p *planner) calm(h *host) bool {
	most, busy := p.s.Busy[h.Name]
	return !busy || h.filling < most
}

// freeAfter is the free share of the scarcest resource after placing; 1 when nothing is limited.
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

// choose returns the allowed open host with the most free capacity after placing, nil when there is none. Without limits, it is the host
// with the fewest environments, then the first by name.
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

// possible reports whether any open host is large enough.
func (p *planner) possible(need fleet.Capacity) bool {
	return p.choose(need, func(h *host) bool { return h.large(need) }) != nil
}

// whyNowhere returns why currently no host can take it, however long it waits.
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

// whyFull returns that it waits for capacity, and what keeps hosts that could run it from being used.
func (p *planner) whyFull(need fleet.Capacity) []Cause {
	causes := p.closedTo(need)
	if len(causes) == 0 {
		return []Cause{{Kind: CauseFull}}
	}
	return append([]Cause{{Kind: CauseRestFull}}, causes...)
}

// closedTo returns what keeps each host that could run it, if it were empty, from being used.
func (p *planner) closedTo(need fleet.Capacity) []Cause {
	var causes []Cause
	for _, h := range p.hosts {
		if !h.open() && h.large(need) && !slices.Contains(causes, h.closed) {
			causes = append(causes, h.closed)
		}
	}
	return causes
}

// needOf is how much of a host an environment of a size uses.
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
