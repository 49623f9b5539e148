package plan_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
)

const eventKinds = 20

// history drives the planner through random events, with plans in between and events between a plan
// and its recording; the world checks each step.
func history(t *rapid.T) *world {
	w := newWorld(t, rapid.Uint64().Draw(t, "shuffles"))
	for i := range rapid.IntRange(0, 8).Draw(t, "leases") {
		e := w.write(fleet.Size{CPUs: 1})
		e.Host = "h"
		w.claim(e, "c", time.Duration(i+1)*10*time.Minute)
	}
	for i, n := range rapid.SliceOfN(rapid.Uint32(), 5, 25).Draw(t, "events") {
		// Drawn numbers are mostly small; mixed with the step they give every kind of event.
		r := rand.New(rand.NewPCG(uint64(n), uint64(i)))
		kind, n := r.IntN(eventKinds), r.Uint32()
		if r.IntN(2) == 0 {
			w.event(kind, n)
			w.plan(nil)
		} else {
			w.plan(func() { w.event(kind, n) })
		}
	}
	return w
}

// TestHistories checks in every step of random histories: no host, pool or concurrency is ever
// exceeded, nobody is destroyed before the lease ends, a row that moved is not acted on, people come
// before refills, a held pool gets nothing, the brake holds, no pool goes below its minimum but for
// people, what is on a lost host is left alone.
//
// After it, the same fleet in another order gives the same plan, and what the caller gave stays as it was.
func TestHistories(t *testing.T) {
	t.Parallel()
	dropped, braked, evicted := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		w := history(t)
		w.checkOrder()
		dropped += w.dropped
		if w.braked {
			braked++
		}
		if w.evicted {
			evicted++
		}
	})
	t.Logf("%d actions were dropped because their row had moved, in %d histories the brake was on, in %d people took a pool's room", dropped, braked, evicted)
	if dropped == 0 || evicted == 0 || braked == 0 {
		t.Error("the histories are too tame")
	}
}

// checkOrder compares plans of the same fleet in two orders.
func (w *world) checkOrder() {
	s := w.snapshot()
	before := slices.Clone(s.Environments)
	want := plan.Compute(s, w.now)
	if !reflect.DeepEqual(before, s.Environments) {
		w.t.Fatalf("the snapshot was changed")
	}
	again := w.snapshot() // shuffled otherwise
	slices.Reverse(again.Pools)
	slices.Reverse(again.Hosts)
	if got := plan.Compute(again, w.now); !reflect.DeepEqual(want, got) {
		w.t.Fatalf("plan depends on the order (-want +got):\n%s", cmp.Diff(want, got))
	}
}

// checkNext looks at a fleet that is at rest for now: it must be at rest until Next.
func (w *world) checkNext(later int64) {
	if w.plan(nil) != 0 {
		return
	}
	s := w.snapshot()
	p := plan.Compute(s, w.now)
	next := p.Next
	if next.IsZero() {
		next = w.now.Add(100 * time.Hour)
	}
	if !next.After(w.now) || len(p.Actions) != 0 {
		w.t.Fatalf("at rest, but there is %q, next look at %s", brief(p), next)
	}
	for _, at := range []time.Time{next.Add(-1), w.now.Add(time.Duration(later % int64(next.Sub(w.now))))} {
		if q := plan.Compute(s, at); len(q.Actions) != 0 || !slices.Equal(ranks(q), ranks(p)) {
			w.t.Fatalf("before %s, at %s, there is %q; now there is %q", p.Next, at, brief(q), brief(p))
		}
	}
}

// settle lets no more happen from outside: hosts are well, pools work and are as they can be set, creates
// and destroys succeed, time passes, until the planner has nothing more to do.
func (w *world) settle() {
	var left []string
	for i := range w.hosts {
		w.hosts[i].Drained = false
	}
	clear(w.silent)
	for i := range w.pools {
		pl := &w.pools[i]
		pl.Held, pl.Failures, pl.Broken = "", 0, ""
		pl.Target = max(pl.Target, pl.Min)
		// What can be set: other bounds are refused, and none at all is the default.
		if pl.Max < pl.Target || pl.NeverRenewed() {
			pl.Max = pl.DefaultMax()
		}
	}
	for range 500 {
		w.pass(time.Minute)
		acted := w.plan(nil)
		busy := false
		for _, e := range slices.Clone(w.envs) {
			switch e.State {
			case fleet.Provisioning:
				w.finish(e, true)
				busy = true
			case fleet.Destroying:
				w.destroyed(e)
				busy = true
			case fleet.Pending, fleet.Failed, fleet.Leased:
				busy = true
			}
		}
		if acted == 0 && !busy {
			return
		}
		for _, e := range w.envs {
			// Nothing happens before the first lease ends.
			if ends := e.Lease.Ends(); acted == 0 && e.State == fleet.Leased && ends.After(w.now) {
				w.pass(min(ends.Sub(w.now), 8*time.Hour))
				break
			}
		}
	}
	for _, e := range w.envs {
		left = append(left, fmt.Sprintf("%s %s of pool %q on %q until %s", e.ID, e.State, e.Pool, e.Host, e.Lease.Ends()))
	}
	w.t.Fatalf("at %s the fleet has not settled: %q, pools %+v", w.now, left, w.pools)
}

// TestConverges: once the planner has nothing to do, it has nothing to do until Next. And from wherever a history has led, when no more happens, every request is served,
// every lease ends, every pool is at its target with members of its digest, and the planner rests.
func TestConverges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := history(t)
		w.checkNext(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "later"))
		for i, renewed := range rapid.SliceOfN(rapid.Bool(), len(w.pools), len(w.pools)).Draw(t, "renewed") {
			if pl := &w.pools[i]; renewed {
				pl.Digest, pl.MatchKey, pl.Revision = "d9", pl.Name+"-d9", pl.Revision+1
				pl.Min = rapid.IntRange(0, pl.Target).Draw(t, "minimum")
			}
		}
		w.settle()
		for _, pl := range w.pools {
			target := plan.TargetNow(pl.Pool, w.now)
			fresh := 0
			for _, e := range w.envs {
				if e.Pool == pl.Name && e.State == fleet.Warm && e.MatchKey == pl.MatchKey {
					fresh++
				}
			}
			if all := w.count(pl.Name, ""); fresh != all || fresh != target {
				t.Fatalf("pool %s has %d of %d, target %d, of %d in all", pl.Name, fresh, all, target, len(w.envs))
			}
		}
		if w.brake.On() {
			t.Fatalf("the brake is still on: %+v", w.brake)
		}
	})
}

// TestNextIsExact: at Next something does change, where it is an end, a deadline or a warning.
func TestNextIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := snap()
		for i := range rapid.IntRange(1, 12).Draw(t, "environments") {
			in := func(label string) time.Duration {
				return time.Duration(rapid.IntRange(-50, 50).Draw(t, label)) * time.Minute
			}
			e := env(fmt.Sprintf("e%02d", i), rapid.SampledFrom([]fleet.State{fleet.Leased, fleet.Provisioning}).Draw(t, "state"))
			switch e.State {
			case fleet.Leased:
				e.Lease.End, e.Lease.Warned = now.Add(in("end")), rapid.Bool().Draw(t, "warned")
				e.Lease.Idle, e.Lease.ActiveAt = time.Duration(rapid.IntRange(0, 60).Draw(t, "idle"))*time.Minute, now.Add(min(in("active"), 0))
			case fleet.Provisioning:
				deadline(in("deadline"))(&e)
				if rapid.Bool().Draw(t, "worked") {
					workedUntil(in("until"))(&e)
				}
			}
			s.Environments = append(s.Environments, e)
		}
		p := plan.Compute(s, now)
		if p.Next.Equal(s.Hosts[0].Until) {
			return
		}
		if diff := cmp.Diff(p.Actions, plan.Compute(s, p.Next.Add(-1)).Actions); diff != "" {
			t.Fatalf("the plan changed before %s:\n%s", p.Next, diff)
		}
		if cmp.Equal(p.Actions, plan.Compute(s, p.Next).Actions) {
			t.Fatalf("nothing changed at %s", p.Next)
		}
	})
}

// TestNobodyStarves: a request of any size of a team that asks little is started in bounded time,
// however much other teams ask, and however small and short what they ask for is.
func TestNobodyStarves(t *testing.T) {
	const longest = 20 * time.Minute
	var worst time.Duration
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 7))
		w := newWorld(t, seed)
		w.pools, w.hosts = nil, []fleet.Host{host("h", 0, 4)}
		w.beat()
		for range 240 {
			w.pass(time.Minute)
			for len(w.envs) < 40 {
				team := []string{"a", "b", "c"}[rng.IntN(3)]
				e := w.write(fleet.Size{CPUs: 1})
				e.Tenant, e.Team, e.Lease.TTL = "acme", team, time.Duration(1+rng.Int64N(int64(longest/time.Minute)))*time.Minute
				if rng.IntN(10) == 0 {
					e.Team, e.Size.CPUs = "d", 4
				}
				// More than one request of d at a time waits for those before it as well.
				if d := slices.IndexFunc(w.envs, func(o *fleet.Environment) bool { return o.Team == "d" && o != e }); d >= 0 && e.Team == "d" {
					w.remove(e)
				}
			}
			w.plan(nil)
			for _, e := range slices.Clone(w.envs) {
				switch e.State {
				case fleet.Provisioning:
					w.finish(e, true)
				case fleet.Destroying:
					w.destroyed(e)
				case fleet.Pending:
					if e.Team == "d" {
						worst = max(worst, w.now.Sub(e.CreatedAt))
					}
				}
			}
		}
	}
	t.Logf("the largest request waited %s at most", worst)
	// Ten minutes until it comes first, then what was started just before ends.
	if most := 10*time.Minute + 2*longest; worst > most {
		t.Errorf("a request waited %s, want %s at most", worst, most)
	}
	if worst == 0 {
		t.Error("nobody waited")
	}
}
