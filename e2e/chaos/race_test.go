package chaos_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
)

// racers is how many daemons share a database in the races.
const racers = 3

// TestThousandClaimants: a thousand requests at once, over three daemons, for the only warm environment on a host
// that holds no more than that one: a single one gets it, the others are told that nothing is left.
func TestThousandClaimants(t *testing.T) {
	t.Parallel()
	h := mustHouse(t, setup{database: postgres, daemons: racers, capacity: 1})
	if err := h.setPool(t.Context(), "running", "small", 1, false); err != nil {
		t.Fatal(err)
	}
	rounds := pick(3, 100)
	for round := range rounds {
		h.untilWarm(t, "running", 1)
		won := h.allAtOnce(t, 1000, func(n int) wire.CreateRequest {
			return wire.CreateRequest{Name: fmt.Sprintf("r%d-%d", round, n), Size: "small", NoQueue: true}
		})
		claimed := 0
		for _, env := range won {
			// Others were admitted when it still was there, and are refused as soon as a controller looks at them.
			if env.Claimed {
				claimed++
			} else if env.State != "pending" {
				t.Errorf("round %d: %s is %s, and did not get the one that was there", round, env.Name, env.State)
			}
		}
		if claimed != 1 {
			t.Fatalf("round %d: %d of 1000 requests got the one that was there: %+v", round, claimed, won)
		}
		h.release(t, won)
	}
	claims, err := h.witness.claims(t.Context())
	if err != nil || claims != rounds {
		t.Errorf("%d warm environments were given away in %d rounds, error %v", claims, rounds, err)
	}
	t.Logf("%d rounds of 1000 claimants, one winner each", rounds)
	h.wantHistories(t)
}

// TestFiveHundredForTenSlots: a quota of ten under five hundred requests at once, over three daemons: ten are
// admitted, and in no committed state were there more.
func TestFiveHundredForTenSlots(t *testing.T) {
	t.Parallel()
	h := mustHouse(t, setup{database: postgres, daemons: racers})
	const slots = 10
	if err := h.limit(t.Context(), slots); err != nil {
		t.Fatal(err)
	}
	rounds := pick(2, 20)
	for round := range rounds {
		won := h.allAtOnce(t, 500, func(n int) wire.CreateRequest {
			return wire.CreateRequest{Name: fmt.Sprintf("r%d-%d", round, n), NoPool: true}
		})
		if len(won) != slots {
			t.Errorf("round %d: %d were admitted, want %d", round, len(won), slots)
		}
		h.release(t, won)
	}
	most, err := h.witness.highest(t.Context(), "usage", "tenant/default/")
	if err != nil {
		t.Fatal(err)
	}
	if most != slots {
		t.Errorf("there were up to %d at once, the quota is %d", most, slots)
	}
	t.Logf("%d rounds of 500 requests for %d slots, never more than %d at once", rounds, slots, most)
	h.wantHistories(t)
}

// allAtOnce sends requests at the same time, to the daemons in turn, and gives what was admitted. All others must
// be refused for want of quota or room.
func (h *house) allAtOnce(t *testing.T, count int, request func(n int) wire.CreateRequest) (won []wire.Environment) {
	t.Helper()
	var mu sync.Mutex
	var clients sync.WaitGroup
	start := make(chan struct{})
	for n := range count {
		req, d := request(n), h.daemons[n%len(h.daemons)]
		clients.Go(func() {
			<-start
			var env wire.Environment
			err := retry(t.Context(), "request "+req.Name, func() (err error) {
				env, _, err = d.client.Create(t.Context(), req, "race-"+req.Name+"-0123456789")
				return err
			})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won = append(won, env)
			case client.CodeOf(err) != wire.CodeQuota:
				t.Errorf("request %s: %v, want code %s", req.Name, err, wire.CodeQuota)
			}
		})
	}
	close(start)
	clients.Wait()
	return won
}

// release gives environments back and waits until they are gone.
func (h *house) release(t *testing.T, envs []wire.Environment) {
	t.Helper()
	for _, env := range envs {
		err := h.ask(t.Context(), "release", func(c *client.Client) error {
			_, err := c.Release(t.Context(), env.ID)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	err := until(t.Context(), "what was released is gone", func() (bool, string, error) {
		live, err := h.live(t.Context())
		for _, row := range live {
			for _, env := range envs {
				if row.ID == env.ID {
					return false, describe(live), err
				}
			}
		}
		return err == nil, "", err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// untilWarm waits until a pool has so many ready.
func (h *house) untilWarm(t *testing.T, pool string, want int) {
	t.Helper()
	err := until(t.Context(), fmt.Sprintf("pool %s has %d ready", pool, want), func() (bool, string, error) {
		live, err := h.live(t.Context())
		return err == nil && warm(live, pool) == want, describe(live), err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func warm(live []fleet.Environment, pool string) (n int) {
	for _, env := range live {
		if env.Pool == pool && env.State == fleet.Warm {
			n++
		}
	}
	return n
}

func (h *house) wantHistories(t *testing.T) {
	t.Helper()
	for _, check := range []func(context.Context) ([]string, error){h.witness.histories, h.store.CheckUsage, h.store.CheckSpend} {
		wrong, err := check(t.Context())
		if err != nil {
			t.Error(err)
		}
		for _, w := range wrong {
			t.Error(w)
		}
	}
}

// TestStoppedDaemonIsFenced: a daemon is frozen in the middle of its work. Another takes the work over; the frozen
// one, when it wakes, changes nothing any more.
func TestStoppedDaemonIsFenced(t *testing.T) {
	t.Parallel()
	o := setup{database: postgres, daemons: 2}
	asleep := 6 * time.Second
	if *long {
		o.args, asleep = []string{"--timing-work-lease=15s"}, 90*time.Second
	}
	h := mustHouse(t, o)
	took := h.freezeInTheMiddle(t, "frozen", asleep)
	t.Logf("its work was done by the other daemon %.1f s after it was frozen", took.Seconds())
	if took > 20*time.Second {
		t.Errorf("it took %s, promised are 20 s", took)
	}
	h.wantHistories(t)
}
