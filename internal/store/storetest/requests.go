package storetest

import (
	"fmt"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// matchKey is what the suite's pools and requests have in common.
const matchKey = "key of build small"

// member gives the n-th distinct member of a pool, pending.
func member(n int, pool string) fleet.Environment {
	env := environment(n)
	env.Tenant, env.Team, env.Owner, env.Project, env.HeldAt = "", "", "", "", time.Time{}
	env.Name, env.Pool, env.MatchKey = fmt.Sprintf("pool-%s-%d", pool, n), pool, matchKey
	return env
}

// mustPool sets a pool.
func mustPool(t tb, s *store.Store, name string) fleet.Pool {
	t.Helper()
	pool, err := s.SetPool(t.Context(), fleet.Pool{Name: name, Blueprint: "build", Size: "small", Target: 1, Max: 1000}, fleet.Event{Kind: "pool.set", Pool: name})
	if err != nil {
		t.Fatalf("set pool %s: %v", name, err)
	}
	return pool
}

// mustRefill writes pending members of a pool that is there.
func mustRefill(t tb, s *store.Store, pool string, members ...fleet.Environment) {
	t.Helper()
	now, err := s.Pool(t.Context(), pool)
	if err != nil {
		t.Fatalf("read pool %s: %v", pool, err)
	}
	if err := s.Refill(t.Context(), pool, now.Revision, members, nil); err != nil {
		t.Fatalf("refill pool %s: %v", pool, err)
	}
}

// mustWarm leads the n-th member of a pool to warm.
func mustWarm(t tb, s *store.Store, n int, pool string) fleet.Environment {
	t.Helper()
	env := member(n, pool)
	mustRefill(t, s, pool, env)
	mustChange(t, s, env.ID, func(e *fleet.Environment) { e.State = fleet.Provisioning })
	return mustChange(t, s, env.ID, func(e *fleet.Environment) {
		e.State, e.ReadyAt = fleet.Warm, base.Add(time.Duration(n)*time.Second)
	})
}

// take makes a warm environment the request's, as the engine does.
func take(asked fleet.Environment) func(*fleet.Environment) (store.Writes, error) {
	return func(e *fleet.Environment) (store.Writes, error) {
		e.Name, e.Tenant, e.Team, e.Owner, e.Project = asked.Name, asked.Tenant, asked.Team, asked.Owner, asked.Project
		e.IdempotencyKey, e.State, e.Lease, e.UpdatedAt = asked.IdempotencyKey, fleet.Leased, asked.Lease, asked.CreatedAt
		e.Lease.Start, e.Lease.End = asked.CreatedAt, asked.CreatedAt.Add(asked.Lease.TTL)
		e.Work = fleet.Work{Action: fleet.Personalise, Worker: "d.p", Until: asked.CreatedAt.Add(time.Minute), Generation: e.Work.Generation + 1}
		return store.Writes{Events: []fleet.Event{{At: asked.CreatedAt, Kind: "environment.claimed"}}}, nil
	}
}

// strip takes a claimed environment away from its request, as the engine does.
func strip(e *fleet.Environment) (store.Writes, error) {
	e.Name, e.Tenant, e.Team, e.Owner, e.Project, e.IdempotencyKey = e.ID, "", "", "", "", ""
	e.State = fleet.Destroying
	e.Work.Action, e.Work.Worker = fleet.Destroy, ""
	return store.Writes{Events: []fleet.Event{{Kind: "environment.unhealthy"}}}, nil
}

// request asks for what the pools keep, as the n-th environment.
func request(n int) store.Admission {
	env := environment(n)
	env.MatchKey = matchKey
	return ask(env)
}

func ask(env fleet.Environment) store.Admission {
	return store.Admission{
		Env: env, RequestHash: "hash", Event: requested(env), Take: take(env), HeldMicros: 10_000, HeldFor: time.Hour,
	}
}

// keyed is a request under the idempotency key "once".
func keyed(n int) store.Admission {
	env := request(n).Env
	env.IdempotencyKey = "once"
	return ask(env)
}

// mustAcquire admits a request.
func mustAcquire(t tb, s *store.Store, a store.Admission) store.Admitted {
	t.Helper()
	got, err := s.Admit(t.Context(), a)
	if err != nil {
		t.Fatalf("admit %s: %v", a.Env.ID, err)
	}
	return got
}

// mustAddUp checks that what is kept of usage and spend is what rows and entries say.
func mustAddUp(t tb, s *store.Store) {
	t.Helper()
	usage, err := s.CheckUsage(t.Context())
	if err != nil {
		t.Fatalf("check usage: %v", err)
	}
	spend, err := s.CheckSpend(t.Context())
	if err != nil {
		t.Fatalf("check spend: %v", err)
	}
	if len(usage)+len(spend) > 0 {
		t.Fatalf("usage or spend does not add up: %q %q", usage, spend)
	}
}

// kinds gives the kinds of an environment's events, in order.
func kinds(t tb, s *store.Store, id string) []string {
	t.Helper()
	events, err := s.Events(t.Context(), id, 0, 0)
	if err != nil {
		t.Fatalf("read events: %v", err)
	}
	var all []string
	for _, e := range events {
		all = append(all, e.Kind)
	}
	return all
}

// inParallel calls do n times, some at once.
func inParallel(n, atOnce int, do func(i int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range atOnce {
		wg.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}
