package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/journal"
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
	pools   []resolved
	weights []fleet.Weight
	brake   fleet.Brake
	safe    safety
	busy    map[string]int
}

// around reads the surroundings.
func (e *Engine) around(ctx context.Context, now time.Time) (a surroundings, err error) {
	// First of all: what is written from here on is in the next one.
	if a.basis.events, _, err = e.store.Marks(ctx); err != nil {
		return a, err
	}
	if a.hosts, err = e.store.Hosts(ctx); err != nil {
		return a, err
	}
	if a.pools, err = e.pricedPools(ctx); err != nil {
		return a, err
	}
	if a.brake, err = e.brake(ctx); err != nil {
		return a, err
	}
	if a.safe, err = e.safety(ctx); err != nil {
		return a, err
	}
	if e.cfg.Weights != nil {
		a.weights = e.cfg.Weights()
	}
	a.busy = e.hosts.Busy()
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

// snapshotAt reads all that a plan needs that is made beside the controller's.
func (e *Engine) snapshotAt(ctx context.Context, now time.Time) (plan.Snapshot, error) {
	around, err := e.around(ctx, now)
	if err != nil {
		return plan.Snapshot{}, err
	}
	envs, err := e.store.Live(ctx)
	return e.snapshot(around, envs), err
}

// snapshot puts everything together for one plan.
func (e *Engine) snapshot(a surroundings, envs []fleet.Environment) plan.Snapshot {
	s := plan.Snapshot{
		Environments: envs, Hosts: a.hosts, Weights: a.weights, Concurrency: e.cfg.Concurrency,
		CreateTimes: e.creates.medians(envs), Brake: a.brake, Busy: a.busy,
	}
	for _, p := range a.pools {
		s.Pools = append(s.Pools, p.Pool)
	}
	return s
}

// settingBrake is the brake as the last plan left it, in JSON; empty when it is off.
const settingBrake = "brake"

func (e *Engine) brake(ctx context.Context) (fleet.Brake, error) {
	return journal.Setting[fleet.Brake](ctx, e.store, settingBrake, "the brake")
}

// keptTimes is how many creates of a blueprint digest an expected time is taken from.
const keptTimes = 20

// createTimes are how long the creates of late took, by blueprint digest.
type createTimes struct {
	mu sync.Mutex
	of map[string][]time.Duration
}

func (c *createTimes) note(digest string, took time.Duration) {
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
func (c *createTimes) medians(envs []fleet.Environment) map[string]time.Duration {
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
