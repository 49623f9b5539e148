package plan

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// end is when something on a host will be gone, counted from now.
type end struct {
	in   time.Duration
	need fleet.Capacity
}

func byTime(a, b end) int { return cmp.Compare(a.in, b.in) }

func insert(ends []end, e end) []end {
	i, _ := slices.BinarySearchFunc(ends, e, byTime)
	return slices.Insert(ends, i, e)
}

// endsIn adds when an environment will be gone; an unplaced one uses no capacity. Warm and failed environments do not end by themselves,
// and those about to be destroyed are counted separately.
func (h *host) endsIn(env *fleet.Environment, in time.Duration) {
	if h != nil {
		h.ends = append(h.ends, end{in: in, need: needOf(env.Size)})
	}
}

func (p *planner) sortEnds() {
	for _, h := range p.hosts {
		slices.SortFunc(h.ends, byTime)
	}
}

// never is the end of something without an end.
const never = time.Duration(math.MaxInt64)

// later adds non-negative times and never overflows.
func later(a, b time.Duration) time.Duration { return a + min(b, never-a) }

// timeline is the expected future of a host. Its times are counted from now.
type timeline struct {
	host *host
	at   time.Duration
	// used is the usage at that time; ends are the later ends.
	used fleet.Capacity
	ends []end
	// stays is the usage without an end.
	stays fleet.Capacity
	// known caches answers of earliest until something is placed.
	known map[fleet.Capacity]gap
}

// gap is a time at which something fits, the usage then without it, and how many ends precede it.
type gap struct {
	at     time.Duration
	used   fleet.Capacity
	passed int
}

// timeline begins now, with the usage once everything about to be destroyed is gone.
func (h *host) timeline(used fleet.Capacity) *timeline {
	t := &timeline{host: h, used: used, ends: slices.Clone(h.ends), stays: used, known: map[fleet.Capacity]gap{}}
	for _, e := range t.ends {
		t.stays = less(t.stays, e.need)
	}
	return t
}

// earliest is the first gap that something fits into; never if what stays leaves too little capacity.
func (t *timeline) earliest(need fleet.Capacity) gap {
	g, ok := t.known[need]
	if !ok {
		g = t.find(need)
		t.known[need] = g
	}
	return g
}

func (t *timeline) find(need fleet.Capacity) gap {
	if !fits(t.host.Capacity, sum(t.stays, need)) {
		return gap{at: never, used: t.stays}
	}
	g := gap{at: t.at, used: t.used}
	for _, e := range t.ends {
		// What ends at the same moment is free at that moment.
		if e.in > g.at && fits(t.host.Capacity, sum(g.used, need)) {
			break
		}
		g = gap{at: max(g.at, e.in), used: less(g.used, e.need), passed: g.passed + 1}
	}
	return g
}

// place fills a gap; later placements cannot start before it.
func (t *timeline) place(g gap, e end) {
	t.at, t.used = g.at, sum(g.used, e.need)
	t.ends = insert(t.ends[g.passed:], e)
	clear(t.known)
}

// estimate sets for each waiting request when it is expected to be ready: it simulates the queue in order, as leases end and creates
// finish. Leases may be extended or released early, so it is only a guess, and zero when no known end makes room.
func (p *planner) estimate(waiting []*fleet.Environment) {
	if len(waiting) == 0 || p.s.Concurrency <= 0 {
		return
	}
	lines := p.timelines()
	slots := p.slots(len(waiting))
	for i, env := range waiting {
		need := needOf(env.Size)
		var best *timeline
		at := never
		for _, t := range lines {
			if g := t.earliest(need); g.at < at {
				best, at = t, g.at
			}
		}
		if best == nil {
			continue
		}
		ready := max(at, slots[0]) + p.createTime(env)
		best.place(best.earliest(need), end{in: later(ready, env.Lease.TTL), need: need})
		slots = slots[1:]
		j, _ := slices.BinarySearch(slots, ready)
		slots = slices.Insert(slots, j, ready)
		p.plan.Waiting[i].Estimate = p.now.Add(ready)
	}
}

// timelines returns the timelines of the open hosts by name. Requests with promised capacity are simulated with the rest of the queue.
func (p *planner) timelines() []*timeline {
	var lines []*timeline
	for _, h := range p.hosts {
		if h.open() {
			lines = append(lines, h.timeline(less(h.used, h.soon)))
		}
	}
	return lines
}

// slots are the times at which one more create may start, in order: now, or when a running one finishes.
func (p *planner) slots(waiting int) []time.Duration {
	n := min(p.s.Concurrency, p.making+waiting)
	slots := make([]time.Duration, n)
	for i := max(n-p.making, 0); i < n; i++ {
		slots[i] = DefaultCreateTime
	}
	return slots
}
