package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
)

// The dimensions of a crowd, as in the planner's own benchmark.
const (
	crowdHosts       = 10
	crowdPools       = 50
	crowdTeams       = 20
	crowdConcurrency = 40
)

// crowd turns leased environments into the load of a busy installation: almost full hosts and many teams; one in twenty environments
// waits for capacity, one in twenty is warm in a pool, and one in five hundred is being created. It changes them, in no particular order.
func crowd(envs []fleet.Environment, now time.Time) plan.Snapshot {
	rng := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // every round plans the same
	s := plan.Snapshot{Environments: envs, Concurrency: crowdConcurrency}
	long := now.Add(1000 * time.Hour)
	for i := range crowdHosts {
		s.Hosts = append(s.Hosts, fleet.Host{
			Name: fmt.Sprintf("h%d", i), Capacity: fleet.Capacity{Environments: int64(len(envs) / crowdHosts)},
			Worker: "bench", Until: long, SeenAt: long,
		})
	}
	size := fleet.Size{Name: "small", CPUs: 1, MemoryMiB: 1024}
	for i := range crowdPools {
		s.Pools = append(s.Pools, plan.Pool{
			Pool: fleet.Pool{
				Name: poolOf(i), Target: 10, Max: 20, Surge: 2,
				// A fixed time, so that the figure does not depend on the hour.
				Schedule: []fleet.ScheduledTarget{{From: 8 * 60, Until: 20 * 60, Target: 10}, {From: 20 * 60, Until: 8 * 60, Target: 10}},
			},
			Digest: keyOf(i), MatchKey: keyOf(i), Size: size,
		})
	}
	for i := range envs {
		e := &envs[i]
		e.Size, e.Team, e.Host = size, fmt.Sprintf("t%02d", i%crowdTeams), s.Hosts[i%crowdHosts].Name
		e.CreatedAt = now.Add(-time.Duration(rng.Int64N(int64(time.Hour))))
		e.Lease.Start, e.Lease.End = e.CreatedAt, now.Add(time.Hour+time.Duration(rng.Int64N(int64(time.Hour))))
		switch {
		case i%20 == 0:
			e.State, e.Host, e.MatchKey, e.Size.CPUs = fleet.Pending, "", keyOf(7), float64(1+i%3)
		case i%20 == 1:
			e.State, e.Pool, e.MatchKey, e.Blueprint.Digest, e.Tenant, e.Team = fleet.Warm, poolOf(i/20), keyOf(i/20), keyOf(i/20), "", ""
		case i%500 == 2:
			e.State = fleet.Provisioning
		}
		if e.State != fleet.Leased {
			e.Lease.Start, e.Lease.End = time.Time{}, time.Time{}
		}
	}
	rng.Shuffle(len(envs), func(i, j int) { envs[i], envs[j] = envs[j], envs[i] })
	return s
}

func poolOf(i int) string { return fmt.Sprintf("p%02d", i%crowdPools) }
func keyOf(i int) string  { return fmt.Sprintf("k%02d", i%crowdPools) }
