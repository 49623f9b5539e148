package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// order is one request, under its idempotency key, and what the daemons said to it.
type order struct {
	key string
	req wire.CreateRequest
	id  string
}

// script is a life of an installation in which everything happens once. A call that gets no answer is made
// again until it does, as a client would, so the script ends also when the daemon dies on the way.
type script struct {
	h      *house
	orders []*order
	// givesUp is how long a client waits for what it was promised; 0 for as long as anything may take.
	givesUp time.Duration
}

// step is one thing that happens.
type step struct {
	name string
	do   func(context.Context) error
}

// play does everything; what it made is given back at the end, except for the pools.
func (s *script) play(ctx context.Context) error {
	steps := []step{
		{"fill the pools", s.fillPools},
		{"make one cold", s.make},
		{"claim a running one", s.claimRunning},
		{"claim a frozen one", s.claimFrozen},
		{"use them", s.use},
		{"be refused", s.beRefused},
		{"fail", s.fail},
		{"let leases end", s.expire},
		{"give all back", s.giveBack},
		{"stop and start", s.h.daemons[0].bounce},
	}
	if s.h.real {
		steps = slices.DeleteFunc(steps, func(st step) bool {
			return slices.Contains([]string{"claim a frozen one", "be refused", "fail", "let leases end"}, st.name)
		})
	}
	for _, step := range steps {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

func (s *script) fillPools(ctx context.Context) error {
	for name, target := range s.h.targets {
		size := map[string]string{"running": "small", "frozen": "medium"}[name]
		if err := s.h.setPool(ctx, name, size, int64(target), name == "frozen"); err != nil {
			return err
		}
	}
	return until(ctx, "the pools are full", func() (bool, string, error) {
		live, err := s.h.live(ctx)
		return err == nil && s.h.full(live), describe(live), err
	})
}

// full reports whether every pool has its target ready.
func (h *house) full(live []fleet.Environment) bool {
	for name, target := range h.targets {
		if warm(live, name) != target {
			return false
		}
	}
	return true
}

func (s *script) make(ctx context.Context) error {
	return s.lease(ctx, "cold", wire.CreateRequest{NoPool: true})
}

func (s *script) claimRunning(ctx context.Context) error {
	return s.lease(ctx, "claimed", wire.CreateRequest{
		Size: "small", Secrets: map[string][]byte{"token": []byte(canary)}, Vars: map[string]string{"CI": "true"},
	})
}

func (s *script) claimFrozen(ctx context.Context) error {
	return s.lease(ctx, "thawed", wire.CreateRequest{Size: "medium"})
}

// canary is a secret; wherever it is found but in its file, it leaked.
const canary = "canary-3f9a1c77"

func (s *script) use(ctx context.Context) error {
	for name, command := range map[string][]string{"cold": {"true"}, "claimed": {"cat", provisioner.SecretsDir + "/token"}} {
		err := s.h.ask(ctx, "exec in "+name, func(c *client.Client) error {
			code, err := c.Exec(ctx, name, wire.ExecStart{Command: command}, client.ExecStreams{})
			if err == nil && code != 0 {
				err = fmt.Errorf("%v ended with %d", command, code)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return s.h.ask(ctx, "extend", func(c *client.Client) error {
		_, err := c.Extend(ctx, "cold", time.Minute)
		return err
	})
}

// beRefused asks for one more than the quota allows: three are there.
func (s *script) beRefused(ctx context.Context) error {
	if err := s.h.limit(ctx, int64(len(s.orders))); err != nil {
		return err
	}
	_, err := s.request(ctx, &order{key: "refused-0123456789", req: wire.CreateRequest{Name: "refused"}})
	if client.CodeOf(err) != wire.CodeQuota {
		return fmt.Errorf("a request over quota: %w, want code %s", err, wire.CodeQuota)
	}
	return s.h.limit(ctx, 100)
}

// fail lets one create fail for good, whosever it is.
func (s *script) fail(ctx context.Context) error {
	fault := fake.HalfCreate("network", "container")
	if _, err := s.h.world.Inject(fault); err != nil {
		return err
	}
	if err := s.ask(ctx, "broken", wire.CreateRequest{NoPool: true, Size: "large"}); err != nil {
		return err
	}
	return s.untilStates(ctx, "broken", fleet.Leased, fleet.Failed, fleet.Destroying, fleet.Destroyed)
}

func (s *script) expire(ctx context.Context) error {
	second, minute := int64(1), int64(60)
	if err := s.ask(ctx, "brief", wire.CreateRequest{NoPool: true, TTLSeconds: &second}); err != nil {
		return err
	}
	if err := s.ask(ctx, "idle", wire.CreateRequest{NoPool: true, TTLSeconds: &minute, IdleSeconds: &second}); err != nil {
		return err
	}
	return errors.Join(s.untilStates(ctx, "brief", fleet.Destroyed), s.untilStates(ctx, "idle", fleet.Destroyed))
}

func (s *script) giveBack(ctx context.Context) error {
	for _, o := range s.orders {
		err := s.h.ask(ctx, "release", func(c *client.Client) error {
			_, err := c.Release(ctx, o.id)
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, o := range s.orders {
		if err := s.untilStates(ctx, o.req.Name, fleet.Destroyed); err != nil {
			return err
		}
	}
	return nil
}

// lease asks for an environment and waits until it can be used.
func (s *script) lease(ctx context.Context, name string, req wire.CreateRequest) error {
	if err := s.ask(ctx, name, req); err != nil {
		return err
	}
	return s.untilStates(ctx, name, fleet.Leased)
}

// ask makes a request under a key of its own.
func (s *script) ask(ctx context.Context, name string, req wire.CreateRequest) error {
	req.Name = name
	o := &order{key: "chaos-" + name + "-0123456789", req: req}
	s.orders = append(s.orders, o)
	_, err := s.request(ctx, o)
	return err
}

// request sends an order until it is answered. Every answer must name the same environment.
func (s *script) request(ctx context.Context, o *order) (env wire.Environment, err error) {
	err = s.h.ask(ctx, "request "+o.req.Name, func(c *client.Client) error {
		env, _, err = c.Create(ctx, o.req, o.key)
		return err
	})
	switch {
	case err != nil:
		return env, err
	case o.id == "":
		o.id = env.ID
	case o.id != env.ID:
		return env, fmt.Errorf("request %s: the key gave environment %s, and now gives %s", o.req.Name, o.id, env.ID)
	}
	return env, nil
}

func (s *script) untilStates(ctx context.Context, name string, states ...fleet.State) error {
	var id string
	for _, o := range s.orders {
		if o.req.Name == name {
			id = o.id
		}
	}
	return until(ctx, fmt.Sprintf("%s is %v", name, states), func() (bool, string, error) {
		env, err := s.h.store.Get(ctx, id)
		if err != nil {
			return false, "", err
		}
		for _, state := range states {
			// One that was claimed is leased before it is handed over.
			if env.State == state && (state != fleet.Leased || env.Work.Action == fleet.None) {
				return true, "", nil
			}
		}
		return false, describe([]fleet.Environment{env}), nil
	})
}
