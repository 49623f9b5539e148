package engine

import (
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Acquired is what came of a request.
type Acquired struct {
	Env fleet.Environment
	// Existed: the idempotency key was used before; Env is what it gave then, as it is now.
	Existed bool
	// Claimed: a warm environment was taken, and Env is ready for use.
	Claimed bool
}

// Quote is what a request would get and cost, without making anything.
type Quote struct {
	Blueprint fleet.BlueprintRef
	Size      fleet.Size
	TTL       time.Duration
	// Micros is the price of the whole lease, in millionths of the size's currency.
	Micros int64
	// Warm says that a warm environment is there for it now; Cold why not. Neither is looked at for what a limit refuses.
	Warm bool
	Cold string
	// Rank and ReadyAt are where it would stand in the queue (0: it would not wait) and when it would be ready.
	Rank    int
	ReadyAt time.Time
	// Refusal is why it would be refused; nil when it would be admitted.
	Refusal *fleet.Error
}

// Why answers "why is it waiting or broken".
type Why struct {
	Env fleet.Environment
	// Cause is one sentence, Next the next thing to do.
	Cause, Next string
	// Rank and ReadyAt are set while it waits; Estimates tells how good past ones were.
	Rank      int
	ReadyAt   time.Time
	Estimates fleet.Estimate
	// Events are the newest of its record, oldest first.
	Events []fleet.Event
}

// EventQuery selects entries of the record. Empty fields select all that the asker may see.
type EventQuery struct {
	// Environment is a name or id.
	Environment string
	Pool, Host  string
	After       int64
	Limit       int
	// Newest says that, of more than Limit, the newest are wanted; they come oldest first all the same.
	Newest bool
}

// CostQuery selects and groups cost.
type CostQuery struct {
	// By is "user", "team", "tenant", "blueprint", "project", "pool", "day", "host", "pull-request" or "environment".
	By string
	// Since and Until bound the time that is looked at; zero for no bound.
	Since, Until time.Time
}

// CostReport is cost by group, the dearest first ("day": in order).
type CostReport struct {
	By           string
	Since, Until time.Time
	Rows         []CostRow
	Total        CostRow
}

// CostRow is one group, in one currency. Amounts are in millionths of it.
type CostRow struct {
	Key      string
	Currency string
	// Leased, Pool, Provisioning, Failed and Destroying are what the time was spent on; Total is their sum.
	Leased, Pool, Provisioning, Failed, Destroying, Total int64
	// Seconds of all of them.
	Seconds int64
}

// OrphanReport is what exists at the provider and is unknown here.
type OrphanReport struct {
	// Safe says that nothing is removed until somebody decides; Reason why.
	Safe    bool
	Reason  string
	Orphans []fleet.Orphan
	// Doubted are the environments from before that nobody has decided on.
	Doubted []Doubt
}

// HostStatus is a host and what stands on it.
type HostStatus struct {
	fleet.Host
	// Used is what its live environments take.
	Used fleet.Capacity
	// Served says that a daemon serves it now. Lost says that nobody has for long; Environments are named for it then.
	Served, Lost bool
	Environments []string
}
