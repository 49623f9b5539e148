package plan_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
)

const (
	isFull = ": all hosts are full"
	isKept = ": the remaining capacity is reserved for a larger request ahead in the queue"
)

// TestSmallMayPassBig: a small request passes a big one that waits only where it does not delay it.
func TestSmallMayPassBig(t *testing.T) {
	// Four CPUs, two of them leased for an hour; big needs four, so it can start in an hour.
	const left = time.Hour
	hold := env("hold", fleet.Leased, sized(2), leaseEnds(left))
	big := env("big", fleet.Pending, sized(4), createdAt(time.Minute))
	four := []fleet.Host{host("h", 0, 4)}
	eight := host("h", 0, 4)
	eight.Capacity.MilliCPUs = 5000
	tests := map[string]struct {
		hosts []fleet.Host
		envs  []fleet.Environment
		want  []string
	}{
		"one that ends before may": {
			four, envs(hold, big, env("s", fleet.Pending, ttl(left-plan.DefaultCreateTime))),
			[]string{"start s on h", "1. big" + isFull},
		},
		"one that ends a nanosecond later may not": {
			four, envs(hold, big, env("s", fleet.Pending, ttl(left-plan.DefaultCreateTime+1))),
			[]string{"1. big" + isFull, "2. s" + isKept},
		},
		"one that fits beside it may, however long it stays": {
			[]fleet.Host{eight}, envs(hold, big, env("s", fleet.Pending, ttl(100*time.Hour))),
			[]string{"start s on h", "1. big" + isFull},
		},
		"but not two where one has room beside it": {
			[]fleet.Host{eight}, envs(hold, big, env("s", fleet.Pending, ttl(100*time.Hour)), env("t", fleet.Pending, ttl(100*time.Hour))),
			[]string{"start s on h", "1. big" + isFull, "2. t" + isKept},
		},
		"on another host it may": {
			append(slices.Clone(four), host("i", 0, 1)), envs(hold, big, env("s", fleet.Pending, ttl(100*time.Hour))),
			[]string{"start s on i", "1. big" + isFull},
		},
		"the room that a destroyed one leaves is promised, and nobody takes it": {
			four, envs(env("d", fleet.Destroying, sized(2)), big, env("s", fleet.Pending, ttl(time.Second))),
			[]string{"1. big" + isFull, "2. s" + isKept},
		},
		"a destroy that keeps failing is not counted on": {
			four, envs(env("d", fleet.Destroying, sized(2), func(e *fleet.Environment) { e.Work.Attempts = 1 }), big,
				env("s", fleet.Pending, ttl(time.Second))),
			[]string{"start s on h", "1. big" + isFull},
		},
		"only the first has a reservation": {
			four, envs(hold, big, env("big2", fleet.Pending, sized(3), createdAt(time.Second)), env("s", fleet.Pending, ttl(time.Minute))),
			[]string{"start s on h", "1. big" + isFull, "2. big2" + isFull},
		},
		"the host that is free first is reserved": {
			[]fleet.Host{host("h", 0, 4), host("i", 0, 4)},
			envs(hold, big, env("soon", fleet.Leased, on("i"), sized(3), leaseEnds(time.Minute)), env("s", fleet.Pending, ttl(100*time.Hour))),
			[]string{"start s on h", "1. big" + isFull},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := plan.Snapshot{Environments: tc.envs, Hosts: tc.hosts, Concurrency: 9}
			if diff := cmp.Diff(tc.want, brief(plan.Compute(s, now))); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPeopleBeforePools(t *testing.T) {
	warm := func(id string, changes ...change) fleet.Environment {
		return env(id, fleet.Warm, append([]change{member("builders", "k")}, changes...)...)
	}
	ask := func(id string, changes ...change) fleet.Environment { return env(id, fleet.Pending, changes...) }
	wants := func(key string) change { return func(e *fleet.Environment) { e.MatchKey = key } }
	leased := env("l", fleet.Leased)
	tests := map[string]struct {
		in   []fleet.Environment
		pool plan.Pool
		host fleet.Host
		want []string
	}{
		"a warm one gives way": {
			envs(warm("w"), ask("a")), pool("builders", "k", 1), host("h", 1, 0),
			[]string{"destroy w (surplus)", "1. a" + isFull},
		},
		"but not one that a waiting request could use": {
			envs(warm("w"), ask("a", wants("k"))), pool("builders", "k", 1), host("h", 1, 0), []string{"1. a" + isFull},
		},
		"nor in vain": {
			envs(warm("w"), leased, ask("a", sized(2))), pool("builders", "k", 1), host("h", 0, 2), []string{"1. a" + isFull},
		},
		"nor while room is about to be free": {
			envs(warm("w"), env("d", fleet.Destroying), ask("a")), pool("builders", "k", 1), host("h", 2, 0), []string{"1. a" + isFull},
		},
		"no more than needed, the oldest first": {
			envs(warm("w2", createdAt(time.Minute)), warm("w1", createdAt(time.Hour)), ask("a")), pool("builders", "k", 2), host("h", 2, 0),
			[]string{"destroy w1 (surplus)", "1. a" + isFull},
		},
		"a large one alone rather than a small one too": {
			envs(warm("w1", createdAt(time.Hour)), warm("w2", sized(3)), ask("a", sized(3))), pool("builders", "k", 2), host("h", 0, 4),
			[]string{"destroy w2 (surplus)", "1. a" + isFull},
		},
		"one of an older digest before a younger one's": {
			envs(warm("w", createdAt(time.Hour)), warm("old", member("builders", "k0")), ask("a")), pool("builders", "k", 2), host("h", 2, 0),
			[]string{"destroy old (surplus)", "1. a" + isFull},
		},
		"each who waits gets room, and no more": {
			envs(warm("w1"), warm("w2"), warm("w3"), ask("a"), ask("b")), pool("builders", "k", 3), host("h", 3, 0),
			[]string{"destroy w1 (surplus)", "destroy w2 (surplus)", "1. a" + isFull, "2. b" + isFull},
		},
		"no member is started and none is written while a person waits": {
			envs(env("m", fleet.Pending, member("builders", "k")), leased, ask("a", sized(9))), pool("builders", "k", 5), host("h", 0, 9),
			[]string{"1. a" + isFull},
		},
		"members take what people leave": {
			envs(env("m", fleet.Pending, member("builders", "k"), createdAt(time.Hour)), ask("a")), pool("builders", "k", 5), host("h", 3, 0),
			[]string{"start a on h", "start m on h", "refill builders 1"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := plan.Snapshot{Environments: tc.in, Pools: []plan.Pool{tc.pool}, Hosts: []fleet.Host{tc.host}, Concurrency: 9}
			if diff := cmp.Diff(tc.want, brief(plan.Compute(s, now))); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEvictionNamesForWhom: the platform team reads why a warm one went.
func TestEvictionNamesForWhom(t *testing.T) {
	s := snap(env("w", fleet.Warm, member("builders", "k")), env("ask", fleet.Pending))
	s.Hosts, s.Pools = []fleet.Host{host("h", 1, 0)}, []plan.Pool{pool("builders", "k", 1)}
	if got := plan.Compute(s, now).Actions[0].Reason; got != "making room for ask" {
		t.Errorf("the reason is %q", got)
	}
}

// TestNoMoreGivesWayThanCanBeMade: warm members stay while all creates are taken.
func TestNoMoreGivesWayThanCanBeMade(t *testing.T) {
	s := snap(env("w1", fleet.Warm, member("builders", "k")), env("w2", fleet.Warm, member("builders", "k")),
		env("a", fleet.Pending), env("b", fleet.Pending, createdAt(-1)))
	s.Hosts, s.Pools, s.Concurrency = []fleet.Host{host("h", 2, 0)}, []plan.Pool{pool("builders", "k", 2)}, 1
	want := []string{"destroy w1 (surplus)", "1. a" + isFull, "2. b" + isFull}
	if diff := cmp.Diff(want, brief(plan.Compute(s, now))); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}
