package plan_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
)

// fataler is what a world needs of a test.
type fataler interface {
	Fatalf(format string, args ...any)
}

// world is a model of everything around the planner: it records actions as the engine does, makes
// and destroys, lets people ask, claim, extend and release, and checks every step.
type world struct {
	t           fataler
	rng         *rand.Rand
	now, last   time.Time
	brake       fleet.Brake
	concurrency int
	envs        []*fleet.Environment
	pools       []plan.Pool
	hosts       []fleet.Host
	silent      map[string]bool // hosts whose daemon is gone
	made        int             // environments ever written
	dropped     int             // actions whose row had moved
	evicted     bool            // people have taken a pool's room in this history
	braked      bool            // the brake was on in this history
	seen        plan.Snapshot   // what the plan that is being recorded was made from
	seenAt      time.Time
	next        time.Time
}

func newWorld(t fataler, seed uint64) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), now: now, last: now,
		concurrency: 3, silent: map[string]bool{},
	}
	w.hosts = []fleet.Host{host("h", 9, 12), host("i", 4, 4)}
	w.pools = []plan.Pool{pool("p", "p-d1", 2), pool("q", "q-d1", 3)}
	w.pools[0].Min, w.pools[0].Surge = 1, 0
	w.pools[1].Min, w.pools[1].Max = 2, 4
	w.beat()
	return w
}

// beat is the heartbeat of the daemons that are there.
func (w *world) beat() {
	for i := range w.hosts {
		if h := &w.hosts[i]; !w.silent[h.Name] {
			h.SeenAt, h.Until = w.now, w.now.Add(20*time.Second)
		}
	}
}

// pass lets time pass as it should: the planner has looked in between.
func (w *world) pass(d time.Duration) {
	w.now = w.now.Add(d)
	w.last = w.now
	w.beat()
}

// jump sets the clock.
func (w *world) jump(d time.Duration) {
	w.now = w.now.Add(d)
	w.beat()
}

func (w *world) snapshot() plan.Snapshot {
	s := plan.Snapshot{
		Pools: slices.Clone(w.pools), Hosts: slices.Clone(w.hosts), Concurrency: w.concurrency,
		Brake: w.brake, Jumped: w.now.Sub(w.last), Weights: []fleet.Weight{{Tenant: "acme", Team: "a", Weight: 2}},
	}
	for _, e := range w.envs {
		s.Environments = append(s.Environments, *e)
	}
	w.rng.Shuffle(len(s.Environments), func(i, j int) {
		s.Environments[i], s.Environments[j] = s.Environments[j], s.Environments[i]
	})
	return s
}

// plan makes a plan, lets something happen, and records it. It gives how many actions there were.
func (w *world) plan(meanwhile func()) int {
	s := w.snapshot()
	p := plan.Compute(s, w.now)
	w.check(s, p)
	w.braked = w.braked || p.Brake.On()
	w.brake, w.last, w.seen, w.seenAt, w.next = p.Brake, w.now, s, w.now, p.Next
	if meanwhile != nil {
		meanwhile()
	}
	for _, a := range p.Actions {
		w.record(a)
	}
	for _, wait := range p.Waiting {
		if e := w.env(wait.EnvironmentID); e != nil && e.Revision == wait.Revision && e.Queue.Rank != wait.Rank {
			e.Queue.Rank, e.Revision = wait.Rank, e.Revision+1
		}
	}
	return len(p.Actions)
}

// check holds for every plan, before it is recorded.
func (w *world) check(s plan.Snapshot, p plan.Plan) {
	seen := map[string]bool{}
	reaped, due := 0, 0
	for _, e := range w.envs {
		if e.State == fleet.Leased && e.Lease.Expired(w.now) && !w.lost(e.Host) {
			due++
		}
	}
	for _, a := range p.Actions {
		if a.EnvironmentID == "" {
			continue
		}
		if seen[a.EnvironmentID] {
			w.t.Fatalf("%s is acted on twice", a.EnvironmentID)
		}
		seen[a.EnvironmentID] = true
		e := w.env(a.EnvironmentID)
		if a.Kind == plan.Destroy && e.State == fleet.Leased {
			reaped++
		}
		if a.Kind == plan.Destroy && w.lost(e.Host) {
			w.t.Fatalf("%s is on a lost host, and not left alone", e.ID)
		}
	}
	jumped := w.now.Sub(w.last) > time.Minute
	switch most := max(5, len(w.envs)/4); {
	case (jumped || s.Brake.On()) && reaped > most:
		w.t.Fatalf("%d of %d reaped after a jump", reaped, len(w.envs))
	case !jumped && !s.Brake.On() && reaped != due:
		w.t.Fatalf("%d of %d due are reaped although time passed as it should", reaped, due)
	case p.Braked != due-reaped || p.Brake.On() != (p.Braked > 0):
		w.t.Fatalf("%d due, %d reaped, %d held back, the brake is on: %t", due, reaped, p.Braked, p.Brake.On())
	}
	w.checkPeopleFirst(p)
	for _, pl := range w.pools {
		w.checkMinimum(pl, p)
	}
}

// checkMinimum: no pool goes below its minimum, but for people.
func (w *world) checkMinimum(pl plan.Pool, p plan.Plan) {
	going := 0
	for _, a := range p.Actions {
		e := w.env(a.EnvironmentID)
		if a.Kind != plan.Destroy || e.State != fleet.Warm || e.Pool != pl.Name {
			continue
		}
		if strings.HasPrefix(a.Reason, "making room for ") {
			w.evicted = true
			continue
		}
		going++
	}
	if ready := w.count(pl.Name, fleet.Warm); going > 0 && ready-going < min(pl.Min, pl.Max) {
		w.t.Fatalf("pool %s loses %d of %d ready, its minimum is %d", pl.Name, going, ready, pl.Min)
	}
}

// checkPeopleFirst: while a person waits for what an open host could give, nothing is started or written for pools.
func (w *world) checkPeopleFirst(p plan.Plan) {
	for i, wait := range p.Waiting {
		if wait.Rank != i+1 || len(wait.Causes) == 0 || plan.Text(wait.Causes) == "" {
			w.t.Fatalf("wait %d is %+v", i, wait)
		}
		if k := wait.Causes[0].Kind; k != plan.CauseFull && k != plan.CauseRestFull && k != plan.CauseKept && k != plan.CauseBusy {
			continue
		}
		for _, a := range p.Actions {
			if a.Kind == plan.Refill || (a.Kind == plan.Start && w.env(a.EnvironmentID).Pool != "") {
				w.t.Fatalf("%s waits (%s), and pools get %+v", wait.EnvironmentID, plan.Text(wait.Causes), a)
			}
		}
	}
}

func (w *world) env(id string) *fleet.Environment {
	i := slices.IndexFunc(w.envs, func(e *fleet.Environment) bool { return e.ID == id })
	if i < 0 {
		return nil
	}
	return w.envs[i]
}

func (w *world) pool(name string) *plan.Pool {
	i := slices.IndexFunc(w.pools, func(p plan.Pool) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return &w.pools[i]
}

func (w *world) host(name string) *fleet.Host {
	i := slices.IndexFunc(w.hosts, func(h fleet.Host) bool { return h.Name == name })
	if i < 0 {
		return nil
	}
	return &w.hosts[i]
}

func (w *world) lost(host string) bool {
	h := w.host(host)
	return h != nil && h.Lost(w.now)
}

// record writes an action down, unless what it is about has moved.
func (w *world) record(a plan.Action) {
	if a.Pool != "" {
		w.recordPool(a)
		return
	}
	e := w.env(a.EnvironmentID)
	if e == nil || e.Revision != a.Revision {
		w.dropped++
		return
	}
	to := map[plan.Kind]fleet.State{
		plan.Start: fleet.Provisioning, plan.Destroy: fleet.Destroying, plan.GiveUp: fleet.Failed, plan.Refuse: fleet.Destroyed,
	}[a.Kind]
	if a.Kind != plan.Warn && !e.State.CanBecome(to) {
		w.t.Fatalf("%s of %s, which is %s", a.Kind, e.ID, e.State)
	}
	e.Revision++
	switch a.Kind {
	case plan.Warn:
		if e.Lease.Warned {
			w.t.Fatalf("%s is warned twice", e.ID)
		}
		e.Lease.Warned = true
	case plan.Start:
		w.recordStart(e, a)
	case plan.Destroy:
		w.recordDestroy(e)
	case plan.GiveUp:
		e.State = fleet.Failed
	case plan.Refuse:
		w.remove(e)
	}
}

func (w *world) recordStart(e *fleet.Environment, a plan.Action) {
	h := w.host(a.Host)
	e.State, e.Host = fleet.Provisioning, a.Host
	e.Work.Deadline = w.now.Add(time.Hour)
	// What has changed since the plan was made is for the next one.
	for _, h := range w.seen.Hosts {
		if h.Name == a.Host && !h.Usable(w.seenAt) {
			w.t.Fatalf("%s is placed on %q, which cannot be used", e.ID, a.Host)
		}
	}
	for _, pl := range w.seen.Pools {
		if pl.Name == e.Pool && (pl.Held != "" || pl.Broken != "") {
			w.t.Fatalf("%s is started although its pool is held", e.ID)
		}
	}
	var use fleet.Capacity
	making := 0
	for _, other := range w.envs {
		if other.State == fleet.Provisioning {
			making++
		}
		if other.Host == h.Name && other.State != fleet.Pending {
			use.Environments++
			use.MilliCPUs += other.Size.MilliCPUs()
		}
	}
	over := func(use, of int64) bool { return of > 0 && use > of }
	if over(use.Environments, h.Capacity.Environments) || over(use.MilliCPUs, h.Capacity.MilliCPUs) || making > w.concurrency {
		w.t.Fatalf("%s is too much for host %s: %+v of %+v, %d in the making", e.ID, h.Name, use, h.Capacity, making)
	}
}

func (w *world) recordDestroy(e *fleet.Environment) {
	if e.State == fleet.Leased && w.seenAt.Before(e.Lease.Ends()) {
		w.t.Fatalf("%s is destroyed %s before its time", e.ID, e.Lease.Ends().Sub(w.seenAt))
	}
	if e.State == fleet.Pending {
		w.remove(e)
	} else {
		e.State = fleet.Destroying
	}
}

// count is how many members of a pool that were not claimed are in a state, any state when empty.
func (w *world) count(pool string, state fleet.State) (n int) {
	for _, e := range w.envs {
		if e.Pool == pool && !e.Lease.Held() && (state == "" || e.State == state) && (state == "" || !w.lost(e.Host)) {
			n++
		}
	}
	return n
}

func (w *world) recordPool(a plan.Action) {
	pl := w.pool(a.Pool)
	if pl == nil || pl.Revision != a.Revision {
		w.dropped++
		return
	}
	pl.Revision++
	switch a.Kind {
	case plan.Hold:
		if pl.Failures < 3 {
			w.t.Fatalf("pool %s is held after %d failures", pl.Name, pl.Failures)
		}
		pl.Held = a.Reason
	case plan.Refill:
		if pl.Held != "" || pl.Broken != "" || pl.Failures >= 3 {
			w.t.Fatalf("pool %s is refilled although it is held", pl.Name)
		}
		if all := w.count(pl.Name, ""); a.Count < 1 || all+a.Count > pl.Max {
			w.t.Fatalf("pool %s: %d more than the %d there are exceed the maximum of %d", pl.Name, a.Count, all, pl.Max)
		}
		for range a.Count {
			e := w.write(pl.Size)
			e.Pool, e.MatchKey, e.Blueprint.Digest = pl.Name, pl.MatchKey, pl.Digest
		}
	}
}

// write adds a pending row.
func (w *world) write(size fleet.Size) *fleet.Environment {
	w.made++
	e := &fleet.Environment{ID: fmt.Sprintf("e%04d", w.made), State: fleet.Pending, Revision: 1, CreatedAt: w.now, Size: size}
	w.envs = append(w.envs, e)
	return e
}

func (w *world) remove(e *fleet.Environment) {
	w.envs = slices.DeleteFunc(w.envs, func(other *fleet.Environment) bool { return other == e })
}
