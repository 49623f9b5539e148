package plan_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
)

// members are n of a pool, each a second younger than the one before.
func members(prefix, key string, state fleet.State, n int, changes ...change) (out []fleet.Environment) {
	for i := range n {
		all := append([]change{member("builders", key), createdAt(time.Hour - time.Duration(i)*time.Second)}, changes...)
		out = append(out, env(fmt.Sprintf("%s%d", prefix, i), state, all...))
	}
	return out
}

func TestPools(t *testing.T) {
	warm, old := func(n int) []fleet.Environment { return members("w", "k", fleet.Warm, n) },
		func(n int) []fleet.Environment { return members("old", "k0", fleet.Warm, n) }
	and := func(lists ...[]fleet.Environment) (all []fleet.Environment) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	set := func(target, low, high, surge int) plan.Pool {
		p := pool("builders", "k", target)
		p.Min, p.Max, p.Surge = low, high, surge
		return p
	}
	held, broken, failing := set(3, 0, 6, 2), set(3, 0, 6, 2), set(3, 0, 6, 2)
	held.Held, broken.Broken, failing.Failures = "3 creates failed", "build is not offered any more", 3
	broken.MatchKey = ""
	claimed := members("c", "k", fleet.Leased, 2)
	gone := members("g", "k", fleet.Destroying, 1, func(e *fleet.Environment) { e.Lease.Start = now })
	tests := map[string]struct {
		in   []fleet.Environment
		pool plan.Pool
		want []string
	}{
		"an empty one is filled":                  {nil, set(3, 0, 6, 0), []string{"refill builders 3"}},
		"up to its target":                        {and(warm(1), members("m", "k", fleet.Provisioning, 1)), set(3, 0, 6, 0), []string{"refill builders 1"}},
		"at its target nothing is done":           {warm(3), set(3, 0, 6, 2), nil},
		"a target of nothing":                     {warm(1), set(0, 0, 6, 2), []string{"destroy w0 (surplus)"}},
		"what was claimed does not count":         {and(claimed, gone), set(3, 0, 3, 0), []string{"refill builders 3"}},
		"what goes counts against the maximum":    {members("d", "k", fleet.Destroying, 2), set(3, 0, 4, 1), []string{"refill builders 2"}},
		"never above the maximum, with a surge":   {members("d", "k", fleet.Destroying, 3), set(3, 0, 3, 1), nil},
		"what failed counts until it is gone":     {members("f", "k", fleet.Failed, 3), set(3, 0, 4, 1), []string{"destroy f0 (failed)", "destroy f1 (failed)", "destroy f2 (failed)", "refill builders 1"}},
		"the minimum lifts the target":            {nil, set(1, 2, 6, 0), []string{"refill builders 2"}},
		"the maximum caps it":                     {nil, set(9, 2, 4, 0), []string{"refill builders 4"}},
		"warm ones above it go, the oldest first": {warm(3), set(1, 0, 6, 0), []string{"destroy w0 (surplus)", "destroy w1 (surplus)"}},
		"pending ones first": {
			and(warm(2), members("p", "k", fleet.Pending, 1), members("m", "k", fleet.Provisioning, 1)), set(3, 0, 6, 0),
			[]string{"destroy p0 (surplus)"},
		},
		"then those in the making, then warm ones": {
			and(warm(2), members("p", "k", fleet.Pending, 1), members("m", "k", fleet.Provisioning, 1)), set(1, 0, 6, 0),
			[]string{"destroy p0 (surplus)", "destroy m0 (surplus)", "destroy w0 (surplus)"},
		},
		"a new digest: new ones first, as far as the surge goes": {old(3), set(3, 3, 5, 2), []string{"refill builders 2"}},
		"and the maximum":                             {old(3), set(3, 3, 4, 2), []string{"refill builders 1"}},
		"at the maximum an old one goes first":        {old(3), set(3, 2, 3, 2), []string{"destroy old0 (stale)"}},
		"old ones go as new ones turn warm":           {and(old(3), warm(1)), set(3, 3, 5, 2), []string{"destroy old0 (stale)", "refill builders 1"}},
		"the last old one goes with the last new one": {and(old(1), warm(3)), set(3, 3, 5, 2), []string{"destroy old0 (stale)"}},
		"not ready ones of an older digest go at once": {
			and(warm(2), members("p", "k0", fleet.Pending, 1), members("m", "k0", fleet.Provisioning, 1)), set(2, 0, 6, 0),
			[]string{"destroy m0 (stale)", "destroy p0 (stale)"},
		},
		"without surge old ones go first, a quarter at a time":              {old(8), set(8, 2, 8, 0), []string{"destroy old0 (stale)", "destroy old1 (stale)"}},
		"but never below the minimum":                                       {old(8), set(8, 7, 8, 0), []string{"destroy old0 (stale)"}},
		"and not while others are on their way":                             {and(old(7), members("m", "k", fleet.Provisioning, 1)), set(8, 2, 8, 0), nil},
		"with neither surge nor slack one more is made, within the maximum": {old(2), set(2, 2, 3, 0), []string{"refill builders 1"}},
		"no new digest for one that may not move at all":                    {old(2), set(2, 2, 2, 0), nil},
		"a held one keeps what is warm and gets nothing":                    {and(warm(1), old(1), members("p", "k", fleet.Pending, 1)), held, nil},
		"a broken one too, whatever it was made from":                       {and(warm(1), old(1)), broken, nil},
		"one that fails for the third time is held":                         {warm(1), failing, []string{"hold builders: 3 creates in a row failed"}},
		"with the newest cause": {
			and(members("f", "k", fleet.Destroying, 1, failed("no such image")), members("g", "k", fleet.Destroying, 1, createdAt(0), failed("no space left"))),
			failing, []string{"hold builders: 3 creates in a row failed, the last one because no space left"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := snap(tc.in...)
			s.Pools = []plan.Pool{tc.pool}
			if diff := cmp.Diff(append([]string{}, tc.want...), brief(plan.Compute(s, now))); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPoolRemoved: what it kept goes, what was claimed stays.
func TestPoolRemoved(t *testing.T) {
	s := snap(append(members("c", "k", fleet.Leased, 1), env("w", fleet.Warm, member("builders", "k")),
		env("p", fleet.Pending, member("builders", "k")), env("m", fleet.Provisioning, member("builders", "k")))...)
	want := []string{"destroy m (pool-removed)", "destroy w (pool-removed)", "destroy p (pool-removed)"}
	if diff := cmp.Diff(want, brief(plan.Compute(s, now))); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

// TestDrainedHost: its warm members stay until others are ready, and go then, also where there is
// nowhere else to put others.
func TestDrainedHost(t *testing.T) {
	s := snap(members("w", "k", fleet.Warm, 2)...)
	s.Pools = []plan.Pool{pool("builders", "k", 2)}
	s.Hosts[0].Drained = true
	if got := brief(plan.Compute(s, now)); len(got) != 0 {
		t.Errorf("with nowhere else to go: %q", got)
	}
	s.Hosts = append(s.Hosts, host("i", 10, 0))
	if diff := cmp.Diff([]string{"refill builders 2"}, brief(plan.Compute(s, now))); diff != "" {
		t.Errorf("new ones first (-want +got):\n%s", diff)
	}
	s.Environments = append(s.Environments, members("n", "k", fleet.Warm, 2, on("i"))...)
	if diff := cmp.Diff([]string{"destroy w0 (drained)", "destroy w1 (drained)"}, brief(plan.Compute(s, now))); diff != "" {
		t.Errorf("then the old ones (-want +got):\n%s", diff)
	}
}

// TestRolloverOnAFullHost: where new ones do not fit beside the old, an old one goes first.
func TestRolloverOnAFullHost(t *testing.T) {
	s := snap(members("old", "k0", fleet.Warm, 3)...)
	s.Hosts = []fleet.Host{host("h", 3, 0)}
	s.Pools = []plan.Pool{pool("builders", "k", 3)}
	if diff := cmp.Diff([]string{"destroy old0 (stale)"}, brief(plan.Compute(s, now))); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	s.Pools[0].Min = 3
	if got := brief(plan.Compute(s, now)); len(got) != 0 {
		t.Errorf("below the minimum: %q", got)
	}
	// A member that was written when there was room, and found none, is helped the same way.
	s.Pools[0].Min = 0
	s.Environments = append(s.Environments, env("p", fleet.Pending, member("builders", "k")))
	if diff := cmp.Diff([]string{"destroy old0 (stale)"}, brief(plan.Compute(s, now))); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

// TestStuckRollover: where nothing can be done for old members, the plan says so and why; never of one that goes on.
func TestStuckRollover(t *testing.T) {
	t.Parallel()
	stuck, full := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		count := func(label string, most int) int { return rapid.IntRange(0, most).Draw(t, label) }
		w := newWorld(t, 1)
		w.pools = []plan.Pool{pool("p", "new", count("target", 4))}
		pl := &w.pools[0]
		pl.Min, pl.Max, pl.Surge = count("minimum", 4), count("maximum", 6), count("surge", 2)
		w.hosts = []fleet.Host{host("h", int64(count("room", 6)), 0), host("drained", 9, 0)}
		w.hosts[1].Drained = rapid.Bool().Draw(t, "drained")
		w.beat()
		for i := range count("members", 8) {
			e := w.write(pl.Size)
			e.Pool, e.State, e.Host = "p", fleet.Warm, w.hosts[i%2].Name
			e.MatchKey = rapid.SampledFrom([]string{"new", "old"}).Draw(t, "digest")
		}
		for w.plan(nil) != 0 {
			for _, e := range slices.Clone(w.envs) {
				switch e.State {
				case fleet.Provisioning:
					w.finish(e, true)
				case fleet.Destroying:
					w.destroyed(e)
				}
			}
		}
		var want []plan.Stuck
		got := plan.Compute(w.snapshot(), w.now).Stuck
		if slices.ContainsFunc(w.envs, func(e *fleet.Environment) bool {
			return e.MatchKey == "old" || e.Host == "drained" && w.hosts[1].Drained
		}) {
			want = []plan.Stuck{{Pool: "p", Full: w.count("p", "") < pl.Max || w.count("p", fleet.Pending) > 0 || w.count("p", fleet.Warm) > pl.Min}}
			stuck++
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(plan.Stuck{}, "Reason")); diff != "" {
			t.Fatalf("at rest (-want +got):\n%s", diff)
		}
		if len(got) == 0 {
			return
		}
		if got[0].Full {
			full++
		} else if !pl.NeverRenewed() {
			t.Fatalf("stuck in its bounds, %d to %d: %s", pl.Min, pl.Max, got[0].Reason)
		}
	})
	if t.Logf("%d were stuck, %d of them for lack of room", stuck, full); full == 0 || stuck == full {
		t.Error("too tame")
	}
}

// TestStuckRolloverSaysWhy: and one that makes room in this very plan is not stuck.
func TestStuckRolloverSaysWhy(t *testing.T) {
	s := snap(members("old", "k0", fleet.Warm, 2)...)
	s.Pools = []plan.Pool{pool("builders", "k", 2)}
	pl := &s.Pools[0]
	check := func(name string, want ...plan.Stuck) {
		t.Helper()
		if diff := cmp.Diff(want, plan.Compute(s, now).Stuck); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	pl.Min, pl.Max, pl.Surge = 2, 2, 1
	check("neither more nor fewer", plan.Stuck{
		Pool: "builders", Reason: "its minimum of 2 lets no old member go first, and its maximum of 2 no new one be made beside them",
	})
	pl.Held = "3 creates failed"
	check("a held one has its own reason")
	pl.Held, pl.Max = "", 3
	check("one more is made")
	s.Hosts = []fleet.Host{host("h", 2, 0)}
	check("no room", plan.Stuck{
		Pool: "builders", Full: true, Reason: "its minimum of 2 lets no old member go first, and no host has room for a new one beside them",
	})
	s.Environments = append(s.Environments, env("ask", fleet.Pending, sized(2)))
	check("people come first for now")
	s.Environments = append(s.Environments[:2], members("new", "k", fleet.Warm, 1)...)
	s.Hosts = []fleet.Host{host("h", 3, 0)}
	check("an old one goes in this plan")
	s.Environments, s.Hosts[0].Drained = members("w", "k", fleet.Warm, 2), true
	pl.Min = 0
	check("nowhere else to go", plan.Stuck{
		Pool: "builders", Full: true, Reason: "no host has room for a new member, and destroying an old one would not make enough",
	})
}

// TestPoolsShareRoom: what room is left goes to each in turn.
func TestPoolsShareRoom(t *testing.T) {
	s := snap()
	s.Hosts = []fleet.Host{host("h", 5, 0)}
	s.Pools = []plan.Pool{pool("b", "k", 9), pool("a", "k", 9), pool("c", "k", 1)}
	if diff := cmp.Diff([]string{"refill a 2", "refill b 2", "refill c 1"}, brief(plan.Compute(s, now))); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

// TestABusyHostIsFilledSlowly: where processors are all taken, so many members of pools are made at once and no more; what people
// asked for is begun all the same, and other hosts fill up as before.
func TestABusyHostIsFilledSlowly(t *testing.T) {
	pending := func(n int) []fleet.Environment { return members("p", "k", fleet.Pending, n) }
	for name, c := range map[string]struct {
		in   []fleet.Environment
		busy map[string]int
		want []string
	}{
		"calm":                     {pending(2), nil, []string{"start p0 on h", "start p1 on h"}},
		"busy":                     {pending(3), map[string]int{"h": 1}, []string{"start p0 on h"}},
		"busy, two allowed":        {pending(3), map[string]int{"h": 2}, []string{"start p0 on h", "start p1 on h"}},
		"busy, one is in making":   {append(pending(1), members("m", "k", fleet.Provisioning, 1)...), map[string]int{"h": 1}, nil},
		"busy, somebody asks":      {append(members("m", "k", fleet.Provisioning, 1), env("asked", fleet.Pending)), map[string]int{"h": 1}, []string{"start asked on h", "refill builders 1"}},
		"another host is not busy": {pending(3), map[string]int{"i": 1}, []string{"start p0 on h", "start p1 on h", "start p2 on h"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := snap(c.in...)
			s.Pools, s.Busy = []plan.Pool{pool("builders", "k", len(c.in))}, c.busy
			if diff := cmp.Diff(c.want, brief(plan.Compute(s, now)), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}
