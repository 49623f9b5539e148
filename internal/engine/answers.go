package engine

import (
	"time"

	"github.com/bothy-env/bothy/internal/engine/acquire"
	"github.com/bothy-env/bothy/internal/fleet"
)

// Request, Acquired and Quote are those of acquire.
type (
	Request  = acquire.Request
	Acquired = acquire.Acquired
	Quote    = acquire.Quote
)

// NewID makes the id of an installation or a process.
func NewID() string { return acquire.NewID()[:8] }

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
