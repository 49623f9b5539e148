package plan

import (
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Snapshot is the input of a decision.
type Snapshot struct {
	// Environments are all live ones, in any order.
	Environments []fleet.Environment
	// Pools are the pools, each with the blueprint that it resolves to now.
	Pools []Pool
	// Hosts are all that were ever declared.
	Hosts []fleet.Host
	// Weights of the teams; a missing one is 1.
	Weights []fleet.Weight
	// Concurrency is how many creates may run at once, over all hosts that are not down.
	Concurrency int
	// Busy is how many creates for pools may run at once on a host whose processors are saturated, by host name; a missing host has no
	// such limit.
	Busy map[string]int
	// Unavailable is why nothing can be created on a host now, by host name; a missing host works.
	Unavailable map[string]string
	// CreateTimes are the recent median create times by blueprint digest; the default is DefaultCreateTime.
	CreateTimes map[string]time.Duration
	// Brake is the brake as of the last plan. Jumped is how far the clock has moved since then beyond the time that passed. Time in which
	// nobody planned is not a jump.
	Brake  fleet.Brake
	Jumped time.Duration
}

// Pool is a pool and its current blueprint.
type Pool struct {
	fleet.Pool
	// Digest is the current digest of the blueprint, MatchKey that of a member created now, Size its resolved size.
	Digest, MatchKey string
	Size             fleet.Size
	// Broken is why no member can be created (its blueprint is no longer offered); empty when one can.
	Broken string
}

// Kind is what an action does.
type Kind string

// The kinds of action.
const (
	// Start moves a pending environment to provisioning, on Host.
	Start Kind = "start"
	// Destroy moves an environment to destroying.
	Destroy Kind = "destroy"
	// GiveUp fails an environment that was not ready by its deadline; its destruction is planned next.
	GiveUp Kind = "give-up"
	// Refuse ends a pending request whose time to wait is over.
	Refuse Kind = "refuse"
	// Warn warns the holder that under 10 % of the lease is left.
	Warn Kind = "warn"
	// Refill writes Count new pending members of Pool.
	Refill Kind = "refill"
	// Hold stops a pool that keeps failing.
	Hold Kind = "hold"
)

// Action is one step of a plan. It applies to one revision of the row (the environment's, or the pool's for Refill and Hold): if the row
// has changed since, the action is dropped and planned again.
type Action struct {
	Kind          Kind
	EnvironmentID string
	Pool          string
	Revision      int64
	// Host is where Start places it; Count is how many members Refill writes.
	Host  string
	Count int
	// Cause is a stable, machine-readable word: "expired", "idle", "failed", "stale" (old digest), "surplus", "unhealthy",
	// "pool-removed", "drained" (its host), "deadline", "queue-timeout", "refill", "breaker", "lease-low".
	Cause string
	// Reason is one sentence for people.
	Reason string
}

// Wait is why a request has not started yet.
type Wait struct {
	EnvironmentID string
	Revision      int64
	// Rank in the queue, from 1.
	Rank int
	// Causes has at least one cause; Text is for people.
	Causes []Cause
	// Estimate is when it is expected to be ready; zero if unknown.
	Estimate time.Time
}

// Stuck is why a pool keeps warm members that should be replaced: they are of an older digest, or on a drained host.
type Stuck struct {
	Pool string
	// Full: the hosts lack capacity; otherwise the pool's own minimum and maximum prevent the replacement.
	Full bool
	// Reason is for people, as the continuation of "pool x cannot replace its old members: ".
	Reason string
}

// Plan is the result of Compute.
type Plan struct {
	// Actions in the order in which to record them.
	Actions []Action
	// Waiting lists the requests that stay pending, by rank, without members of pools.
	Waiting []Wait
	// Stuck lists the pools whose old members currently cannot be replaced, by name.
	Stuck []Stuck
	// Brake is the new brake. If it differs from the snapshot's, it is recorded before any action.
	Brake fleet.Brake
	// Braked is how many due environments the brake holds back.
	Braked int
	// Next is when time alone will change the plan; zero if it will not.
	Next time.Time
}

// DefaultCreateTime is the assumed create time when none was measured.
const DefaultCreateTime = 5 * time.Second
