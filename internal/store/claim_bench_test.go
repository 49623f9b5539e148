package store_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
)

// claimers are the clients of the goal: 500 claims a second on SQLite, 1,000 on PostgreSQL.
const claimers = 16

// BenchmarkClaim measures claims by 16 clients while their number of environments stays what it is: 100,
// 1,000 and 10,000. The disk is waited for, as in use. Run it with -benchtime=1x.
func BenchmarkClaim(b *testing.B) {
	for name, open := range map[string]func(*testing.B) *store.Store{
		"SQLite": func(b *testing.B) *store.Store { return openAt(b, dsn(b.TempDir())) },
		"Postgres": func(b *testing.B) *store.Store {
			return openAt(b, pgtest.Own(b, pgtest.Options{Durable: true}).Database(b))
		},
	} {
		for _, n := range []int{100, 1000, 10_000} {
			for _, limited := range []bool{false, true} {
				b.Run(fmt.Sprintf("%s/%d/limits=%v", name, n, limited), func(b *testing.B) {
					benchClaims(b, open(b), n, limited)
				})
			}
		}
	}
}

// warmSample is the n-th member of a pool, warm.
func warmSample(n int) fleet.Environment {
	env := sample(n)
	env.Name, env.Tenant, env.Team, env.Owner, env.IdempotencyKey = fmt.Sprintf("pool-builders-%d", n), "", "", "", ""
	env.Pool, env.MatchKey, env.State, env.ReadyAt = "builders", "key", fleet.Warm, env.CreatedAt
	return env
}

// benchClaims claims 2,000 times among n others of which half are leased and half wait warm in another pool.
func benchClaims(b *testing.B, s *store.Store, n int, limited bool) {
	const claims = 2000
	inParallel(n+claims, func(i int) {
		env := warmSample(i)
		switch {
		case i < n/2:
			env.MatchKey = "another key"
		case i < n:
			env.Tenant, env.Team, env.Owner, env.State = "acme", "core", fmt.Sprintf("user-%d", i%50), fleet.Leased
		}
		if _, err := s.Adopt(b.Context(), env, fleet.Event{Kind: "adopted"}); err != nil {
			b.Error(err)
		}
	})
	if limited {
		q := fleet.Quota{Scope: fleet.Scope{Kind: fleet.ScopeTenant, Tenant: "acme"}, Limits: fleet.Limits{Environments: new(int64(1 << 40))}}
		if err := s.SetQuota(b.Context(), q, func(fleet.Limits) fleet.Event { return fleet.Event{Kind: "quota.set"} }); err != nil {
			b.Fatal(err)
		}
	}
	var lost, slowest atomic.Int64
	begin, used := time.Now(), cpuUsed(b)
	b.ResetTimer()
	inParallel(claims, func(i int) {
		env := sample(1_000_000 + i)
		env.Tenant, env.Team, env.Owner, env.MatchKey = "acme", "core", fmt.Sprintf("user-%d", i%50), "key"
		started := time.Now()
		got, err := s.Admit(b.Context(), store.Admission{
			Env: env, RequestHash: "hash", Event: fleet.Event{Kind: "environment.requested"}, HeldMicros: 10_000, HeldFor: time.Hour,
			Secrets: []byte("sealed"), Decide: func([]fleet.ScopeUsage) error { return nil }, Take: func(e *fleet.Environment) (store.Writes, error) {
				e.Tenant, e.Team, e.Owner, e.Name, e.IdempotencyKey = env.Tenant, env.Team, env.Owner, env.Name, env.IdempotencyKey
				e.State, e.Work.Action, e.Lease = fleet.Leased, fleet.Personalise, env.Lease
				return store.Writes{Events: []fleet.Event{{Kind: "environment.claimed"}}}, nil
			},
		})
		if err != nil || !got.Claimed {
			lost.Add(1)
			b.Log(err)
		}
		took := int64(time.Since(started))
		for seen := slowest.Load(); took > seen && !slowest.CompareAndSwap(seen, took); seen = slowest.Load() {
		}
	})
	b.StopTimer()
	b.ReportMetric(claims/time.Since(begin).Seconds(), "claims/s")
	b.ReportMetric(float64((cpuUsed(b)-used).Microseconds())/claims, "cpu-µs/claim")
	b.ReportMetric(float64(slowest.Load())/1e6, "slowest-ms")
	if lost.Load() > 0 {
		b.Fatalf("%d claims got no warm environment", lost.Load())
	}
	if wrong, err := s.CheckUsage(b.Context()); err != nil || len(wrong) > 0 {
		b.Fatal(wrong, err)
	}
}

// inParallel calls do n times, by 16 clients.
func inParallel(n int, do func(i int)) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range claimers {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(int(i))
			}
		})
	}
	wg.Wait()
}
