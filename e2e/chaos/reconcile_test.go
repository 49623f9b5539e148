package chaos_test

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
)

// TestSixtyFourReconcilers: sixty-four controllers plan for one pool at the same time, over eight connections to one
// database, again and again: it never has a member more than its target.
func TestSixtyFourReconcilers(t *testing.T) {
	t.Parallel()
	const reconcilers, stores = 64, 8
	for round := range pick(2, 20) {
		dsn := pgtest.Shared(t).Database(t)
		w, err := openWitness(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		r := reconciler{size: fleet.Size{Name: "small", CPUs: 1, MemoryMiB: 1024, Currency: "USD"}, target: 3 + round}
		var open []*store.Store
		for range stores {
			s, err := store.Open(t.Context(), dsn)
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, s)
		}
		if err := r.declare(t.Context(), open[0]); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for n := range reconcilers {
			all.Go(func() {
				if err := r.reconcile(t.Context(), open[n%stores], n); err != nil {
					t.Errorf("reconciler %d: %v", n, err)
				}
			})
		}
		all.Wait()
		most, err := w.highest(t.Context(), "member", "race")
		if err != nil || most != int64(r.target) {
			t.Errorf("the pool had up to %d members, its target is %d, error %v", most, r.target, err)
		}
		for _, s := range open {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := w.close(); err != nil {
			t.Error(err)
		}
	}
}

// reconciler is what the sixty-four have in common.
type reconciler struct {
	size   fleet.Size
	target int
}

const raceDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func (r reconciler) declare(ctx context.Context, s *store.Store) error {
	_, err := s.SetPool(ctx, fleet.Pool{
		Name: "race", Blueprint: "build", Size: r.size.Name, Target: r.target, Max: r.target,
	}, fleet.Event{At: time.Now(), Kind: "pool.set", Pool: "race"})
	return err
}

// reconcile plans and records until there is nothing more to plan, as a daemon's controller does.
func (r reconciler) reconcile(ctx context.Context, s *store.Store, n int) error {
	for round := 0; ; round++ {
		// The pool before its members: a refill that was recorded in between moves the pool on.
		pools, err := s.Pools(ctx)
		if err != nil {
			return err
		}
		live, err := s.Live(ctx)
		if err != nil {
			return err
		}
		now := time.Now()
		p := plan.Compute(plan.Snapshot{
			Environments: live, Concurrency: 100,
			Pools: []plan.Pool{{Pool: pools[0], Digest: raceDigest, MatchKey: "race", Size: r.size}},
			Hosts: []fleet.Host{{Name: "h", Worker: "w.1", Until: now.Add(time.Hour), SeenAt: now}},
		}, now)
		refilled, err := r.record(ctx, s, p, fmt.Sprintf("r%d-%d", n, round), now)
		if err != nil || !refilled {
			return err
		}
	}
}

// record writes the refills of a plan; one that came too late is dropped, as the next plan knows better.
func (r reconciler) record(ctx context.Context, s *store.Store, p plan.Plan, prefix string, now time.Time) (refilled bool, err error) {
	for _, a := range p.Actions {
		if a.Kind != plan.Refill {
			continue
		}
		refilled = true
		var members []fleet.Environment
		for i := range a.Count {
			name := fmt.Sprintf("%s-%d", prefix, i)
			members = append(members, fleet.Environment{
				ID: name, Name: name, Pool: a.Pool, MatchKey: "race", State: fleet.Pending, Size: r.size,
				Blueprint: fleet.BlueprintRef{Name: "build", Version: "1.0.0", Digest: raceDigest}, CreatedAt: now, UpdatedAt: now,
			})
		}
		err := s.Refill(ctx, a.Pool, a.Revision, members, nil)
		if err != nil && fleet.CodeOf(err) != fleet.CodeConflict {
			return refilled, err
		}
	}
	return refilled, nil
}

// TestPoolIsNeverOverfull: while three daemons serve one database, a pool's target goes up and down and whoever plans
// is killed. The pool never has more members than its maximum.
func TestPoolIsNeverOverfull(t *testing.T) {
	t.Parallel()
	h := mustHouse(t, setup{database: postgres, daemons: racers})
	s := &script{h: h}
	if err := s.fillPools(t.Context()); err != nil {
		t.Fatal(err)
	}
	for round := range pick(4, 60) {
		target := int64(2 + 4*(round%2))
		if err := h.setPool(t.Context(), "running", "small", target, false); err != nil {
			t.Fatal(err)
		}
		// Now one, now the other: sooner or later it is the one that plans.
		if err := h.daemons[round%racers].signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		h.untilWarm(t, "running", int(target))
	}
	if err := h.setPool(t.Context(), "running", "small", int64(h.targets["running"]), false); err != nil {
		t.Fatal(err)
	}
	most, err := h.witness.highest(t.Context(), "member", "running")
	if err != nil || most > 6 {
		t.Errorf("the pool had up to %d members, its highest target was 6, error %v", most, err)
	}
	s.mustSettle(t)
}

// TestIdempotentAcrossDaemons: one key, sent to three daemons at the same time and many times over, is one environment.
func TestIdempotentAcrossDaemons(t *testing.T) {
	t.Parallel()
	h := mustHouse(t, setup{database: postgres, daemons: racers})
	s := &script{h: h}
	if err := s.fillPools(t.Context()); err != nil {
		t.Fatal(err)
	}
	const callers = 60
	for round := range pick(5, 100) {
		o := &order{key: fmt.Sprintf("same-%d-0123456789", round)}
		o.req.Name, o.req.NoPool = fmt.Sprintf("same-%d", round), round%2 == 0
		ids := make([]string, callers)
		var all sync.WaitGroup
		for n := range callers {
			all.Go(func() {
				err := retry(t.Context(), "request", func() error {
					env, _, err := h.daemons[n%racers].client.Create(t.Context(), o.req, o.key)
					ids[n] = env.ID
					return err
				})
				if err != nil {
					t.Errorf("caller %d: %v", n, err)
				}
			})
		}
		all.Wait()
		for _, id := range ids {
			if id != ids[0] {
				t.Fatalf("round %d: one key gave %s and %s", round, ids[0], id)
			}
		}
		o.id = ids[0]
		s.orders = append(s.orders, o)
		err := h.ask(t.Context(), "release", func(c *client.Client) error {
			_, err := c.Release(t.Context(), o.id)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	s.mustSettle(t)
}
