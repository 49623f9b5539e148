package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
)

// TestRandomKills: a daemon under load dies again and again, at moments that a seed draws.
func TestRandomKills(t *testing.T) {
	for _, database := range databases {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			chance := seeded(t)
			kills := pick(8, 250)
			h := mustHouse(t, setup{database: database, daemons: 1})
			s := &script{h: h}
			if err := s.fillPools(t.Context()); err != nil {
				t.Fatal(err)
			}
			load := startLoad(t.Context(), h, 4, chance)
			for range kills {
				// Long enough for the daemon to get somewhere, and sometimes not even that.
				time.Sleep(time.Duration(50+chance.IntN(700)) * time.Millisecond)
				if err := h.daemons[0].signal(syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
			load.end(t, s)
			t.Logf("%d kills, %d requests were acknowledged", h.killed(), len(s.orders))
			if h.killed() < kills/2 {
				t.Errorf("only %d of %d kills met a daemon", h.killed(), kills)
			}
			s.mustSettle(t)
		})
	}
}

// mustSettle is settle for a test of its own.
func (s *script) mustSettle(t *testing.T) {
	t.Helper()
	wrong, err := s.settle(t.Context())
	if err != nil {
		t.Error(err)
	}
	for _, w := range wrong {
		t.Error(w)
	}
}

// load is clients that ask for environments, use some, and give most of them back.
type load struct {
	stop    context.CancelFunc
	workers sync.WaitGroup
	mu      sync.Mutex
	scripts []*script
	err     error
}

// startLoad runs clients until end. What each does is drawn by its own seed.
func startLoad(ctx context.Context, h *house, clients int, chance *rand.Rand) *load {
	return startClients(ctx, h, clients, 0, chance)
}

// startClients is startLoad with clients that wait for an environment only so long.
func startClients(ctx context.Context, h *house, clients int, givesUp time.Duration, chance *rand.Rand) *load {
	ctx, stop := context.WithCancel(ctx)
	l := &load{stop: stop}
	for n := range clients {
		// Each has a house of its own to count the daemons by; all else is shared.
		own := *h
		s := &script{h: &own, givesUp: givesUp}
		l.scripts = append(l.scripts, s)
		draws := rand.New(rand.NewPCG(chance.Uint64(), 0)) //nolint:gosec // chance that can be repeated is what is wanted
		l.workers.Go(func() {
			for round := 0; ctx.Err() == nil; round++ {
				if err := s.visit(ctx, draws, fmt.Sprintf("c%d-%d", n, round)); err != nil && ctx.Err() == nil {
					l.mu.Lock()
					l.err = errors.Join(l.err, err)
					l.mu.Unlock()
					return
				}
			}
		})
	}
	return l
}

// visit is one request and what becomes of it.
func (s *script) visit(ctx context.Context, chance *rand.Rand, name string) error {
	ttl := int64(1 + chance.IntN(3))
	req := wire.CreateRequest{TTLSeconds: &ttl, Size: []string{"small", "medium", "large"}[chance.IntN(3)], NoPool: chance.IntN(3) == 0}
	if chance.IntN(2) == 0 {
		req.Secrets = map[string][]byte{"token": []byte(canary)}
	}
	if err := s.ask(ctx, name, req); err != nil {
		return err
	}
	o := s.orders[len(s.orders)-1]
	switch chance.IntN(3) {
	case 0: // left to its lease
		if s.givesUp == 0 {
			return nil
		}
		// Where little gets done, what is asked for and left would pile up.
		if usable, err := s.untilUsable(ctx, name); usable || err != nil {
			return err
		}
	case 1: // given back before it is ready
	default:
		if _, err := s.untilUsable(ctx, name); err != nil {
			return err
		}
	}
	return s.h.ask(ctx, "release "+name, func(c *client.Client) error {
		_, err := c.Release(ctx, o.id)
		return err
	})
}

// untilUsable waits until a request has come to something, or its client gives up.
func (s *script) untilUsable(ctx context.Context, name string) (usable bool, err error) {
	waiting, cancel := ctx, context.CancelFunc(func() {})
	if s.givesUp > 0 {
		waiting, cancel = context.WithTimeout(ctx, s.givesUp)
	}
	defer cancel()
	err = s.untilStates(waiting, name, fleet.Leased, fleet.Failed, fleet.Destroying, fleet.Destroyed)
	if waiting.Err() != nil && ctx.Err() == nil {
		return false, nil
	}
	return err == nil, err
}

// end stops the clients and gives their orders to s.
func (l *load) end(t *testing.T, s *script) {
	t.Helper()
	l.stop()
	l.workers.Wait()
	if l.err != nil {
		t.Error(l.err)
	}
	for _, each := range l.scripts {
		for _, o := range each.orders {
			// One that was cut off by the end of the load got no answer yet.
			if _, err := s.request(t.Context(), o); err != nil {
				t.Error(err)
			}
			s.orders = append(s.orders, o)
		}
	}
}
