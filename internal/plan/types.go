package plan

import (
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Snapshot is all that a decision needs.
type Snapshot struct {
	// Environments are all live ones, in any order.
	Environments []fleet.Environment
	// Pools as they are set, each with what it resolves to now.
	Pools []Pool
	// Hosts are all that were ever declared.
	Hosts []fleet.Host
	// Weights of the teams; one that is missing weighs 1.
	Weights []fleet.Weight
	// Concurrency is how many environments may be in the making at once, over all hosts that are not down.
	Concurrency int
	// Busy is how many members of pools may be in the making at once on a host whose processors are all taken, by its name; one that
	// is missing has no such bound.
	Busy map[string]int
	// Unavailable says why nothing can be made now on a host, by its name; one that is missing works.
	Unavailable map[string]string
	// CreateTimes are how long a create takes by blueprint digest (a median of late); one that is missing counts as DefaultCreateTime.
	CreateTimes map[string]time.Duration
	// Brake as the last plan left it. Jumped is how far the clock has moved on since then beyond the time that passed: time in
	// which nobody planned is no jump.
	Brake  fleet.Brake
	Jumped time.Duration
}

// Pool is a pool as it is set, with what its blueprint is now.
type Pool struct {
	fleet.Pool
	// Digest is the blueprint's now, MatchKey that of a member made now, Size its resolved size.
	Digest, MatchKey string
	Size             fleet.Size
	// Broken says why no member can be made (its blueprint is not offered any more); empty when one can.
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
	// Warn tells the holder that under 10 % of the lease is left.
	Warn Kind = "warn"
	// Refill writes Count new pending members of Pool.
	Refill Kind = "refill"
	// Hold stops a pool that keeps failing.
	Hold Kind = "hold"
)

// Action is one step of a plan. It holds for one revision of the row (the environment's, or the pool's
// for Refill and Hold): if the row has moved since, it is dropped and planned again.
type Action struct {
	Kind          Kind
	EnvironmentID string
	Pool          string
	Revision      int64
	// Host is where Start places it; Count is how many Refill writes.
	Host  string
	Count int
	// Cause is a stable word for machines: "expired", "idle", "failed", "stale" (old digest), "surplus", "unhealthy",
	// "pool-removed", "drained" (its host), "deadline", "queue-timeout", "refill", "breaker", "lease-low".
	Cause string
	// Reason is one sentence for people.
	Reason string
}

// Wait tells why a request is not being worked on yet.
type Wait struct {
	EnvironmentID string
	Revision      int64
	// Rank in the queue, from 1.
	Rank int
	// Causes say why, at least one; Text tells them to people.
	Causes []Cause
	// Estimate is when it is expected to be ready; zero when that cannot be told.
	Estimate time.Time
}

// Stuck tells why a pool keeps warm members that are to be replaced: from an older digest, or on a drained host.
type Stuck struct {
	Pool string
	// Full says that hosts lack room; else the pool's own minimum and maximum are in the way.
	Full bool
	// Reason is for people, to be read after "pool x cannot replace its old members: ".
	Reason string
}

// Plan is what Compute returns.
type Plan struct {
	// Actions in the order they are to be recorded.
	Actions []Action
	// Waiting lists the requests that stay pending, by rank. Members of pools are not listed.
	Waiting []Wait
	// Stuck lists the pools whose old members cannot be replaced as things are, by name.
	Stuck []Stuck
	// Brake as it is from now on. When it differs from the snapshot's, it is recorded before any action.
	Brake fleet.Brake
	// Braked is how many environments are due and held back by the brake.
	Braked int
	// Next is when time alone will make another plan differ; zero when it will not.
	Next time.Time
}

// DefaultCreateTime is what a create is taken to last when none was measured.
const DefaultCreateTime = 5 * time.Second
