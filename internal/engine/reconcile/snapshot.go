package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
)

// basis stands for everything that a plan is made from, without reading the environments: two equal ones give equal plans.
type basis struct {
	// events is the number of the newest entry of the record: no decision changes a row without one.
	events int64
	rest   string
}

// surroundings are what a plan needs beside the environments.
type surroundings struct {
	basis   basis
	hosts   []fleet.Host
	pools   []Pool
	weights []fleet.Weight
	brake   fleet.Brake
	safe    string
	busy    map[string]int
}

// around reads the surroundings.
func (c *Controller) around(ctx context.Context, now time.Time) (a surroundings, err error) {
	// First of all: what is written from here on is in the next one.
	if a.basis.events, _, err = c.store.Marks(ctx); err != nil {
		return a, err
	}
	if a.hosts, err = c.store.Hosts(ctx); err != nil {
		return a, err
	}
	if a.pools, err = c.cfg.Pools.Priced(ctx); err != nil {
		return a, err
	}
	if a.brake, err = c.limiter.State(ctx); err != nil {
		return a, err
	}
	if a.safe, err = c.cfg.Recovery.Safety(ctx); err != nil {
		return a, err
	}
	if c.cfg.Weights != nil {
		a.weights = c.cfg.Weights()
	}
	a.busy = c.cfg.Hosts.Busy()
	a.basis.rest = a.text(now)
	return a, nil
}

// text writes down what of the surroundings makes a difference to a plan.
func (a surroundings) text(now time.Time) string {
	var b strings.Builder
	for _, h := range a.hosts {
		fmt.Fprintln(&b, h.Name, h.Usable(now), h.Drained, h.Down, h.Worker, h.Lost(now), h.Capacity)
	}
	for _, p := range a.pools {
		fmt.Fprintln(&b, p.Name, p.Revision, p.MatchKey, p.Size, p.Broken, p.Held, p.Failures)
	}
	fmt.Fprintln(&b, a.weights, a.brake, a.safe, a.busy)
	return b.String()
}

// Snapshot reads all that a plan needs that is made beside the controller's.
func (c *Controller) Snapshot(ctx context.Context, now time.Time) (plan.Snapshot, error) {
	around, err := c.around(ctx, now)
	if err != nil {
		return plan.Snapshot{}, err
	}
	envs, err := c.store.Live(ctx)
	return c.snapshot(around, envs), err
}

// snapshot puts everything together for one plan.
func (c *Controller) snapshot(a surroundings, envs []fleet.Environment) plan.Snapshot {
	s := plan.Snapshot{
		Environments: envs, Hosts: a.hosts, Weights: a.weights, Concurrency: c.cfg.Concurrency,
		CreateTimes: c.creates.medians(envs), Brake: a.brake, Busy: a.busy,
	}
	for _, p := range a.pools {
		s.Pools = append(s.Pools, p.Pool)
	}
	return s
}

// keptTimes is how many creates of a blueprint digest an expected time is taken from.
const keptTimes = 20

// CreateTimes are how long the creates of late took, by blueprint digest.
type CreateTimes struct {
	mu sync.Mutex
	of map[string][]time.Duration
}

// Note keeps how long a create took.
func (c *CreateTimes) Note(digest string, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string][]time.Duration{}
	}
	c.of[digest] = append(c.of[digest], took)
	c.of[digest] = c.of[digest][max(len(c.of[digest])-keptTimes, 0):]
}

// medians gives the usual time of each digest. One that this process has not made yet goes by the rows of
// those that did not wait.
func (c *CreateTimes) medians(envs []fleet.Environment) map[string]time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	times := map[string][]time.Duration{}
	for _, env := range envs {
		digest := env.Blueprint.Digest
		if len(c.of[digest]) == 0 && !env.ReadyAt.IsZero() && env.Queue.First.IsZero() && len(times[digest]) < keptTimes {
			times[digest] = append(times[digest], env.ReadyAt.Sub(env.CreatedAt))
		}
	}
	medians := map[string]time.Duration{}
	for digest, kept := range c.of {
		times[digest] = slices.Clone(kept)
	}
	for digest, all := range times {
		slices.Sort(all)
		medians[digest] = all[len(all)/2]
	}
	return medians
}
