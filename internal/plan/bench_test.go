package plan_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
)

// crowd is n environments on 10 hosts, 50 pools, 20 teams and 500 requests that wait, in no order.
func crowd(n int) plan.Snapshot {
	rng := rand.New(rand.NewPCG(1, 1))
	s := plan.Snapshot{Concurrency: 40}
	for i := range 10 {
		s.Hosts = append(s.Hosts, host(fmt.Sprintf("h%d", i), int64(n/10), 0))
	}
	for i := range 50 {
		p := pool(fmt.Sprintf("p%02d", i), fmt.Sprintf("k%02d", i), 10)
		p.Schedule = []fleet.ScheduledTarget{{From: 8 * 60, Until: 18 * 60, Target: 20}, {From: 22 * 60, Until: 6 * 60, Target: 2}}
		s.Pools = append(s.Pools, p)
	}
	for i := range n {
		e := env(fmt.Sprintf("e%05d", i), fleet.Leased, of(fmt.Sprintf("t%02d", i%20)), on(fmt.Sprintf("h%d", i%10)),
			createdAt(time.Duration(rng.Int64N(int64(time.Hour)))), leaseEnds(time.Duration(1+rng.Int64N(int64(time.Hour)))))
		switch {
		case i%20 == 0:
			e = env(e.ID, fleet.Pending, of(e.Team), sized(float64(1+i%3)), func(e *fleet.Environment) { e.MatchKey = "k07" })
		case i%20 == 1:
			e = env(e.ID, fleet.Warm, on(e.Host), member(fmt.Sprintf("p%02d", i%50), fmt.Sprintf("k%02d", i%50)))
		case i%100 == 2:
			e.State = fleet.Provisioning
		}
		s.Environments = append(s.Environments, e)
	}
	rng.Shuffle(n, func(i, j int) { s.Environments[i], s.Environments[j] = s.Environments[j], s.Environments[i] })
	return s
}

func BenchmarkCompute(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := crowd(n)
			for b.Loop() {
				plan.Compute(s, now)
			}
		})
	}
	b.Run("10000-full", func(b *testing.B) {
		s := crowd(10_000)
		for i := range s.Hosts {
			s.Hosts[i].Capacity.Environments = 900
		}
		for b.Loop() {
			plan.Compute(s, now)
		}
	})
	b.Run("10000-due", func(b *testing.B) {
		s := crowd(10_000)
		for b.Loop() {
			plan.Compute(s, now.Add(2*time.Hour-time.Minute))
		}
	})
}
