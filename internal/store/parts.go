package store

import (
	"context"

	"github.com/bothy-env/bothy/internal/store/billing"
	"github.com/bothy-env/bothy/internal/store/election"
	"github.com/bothy-env/bothy/internal/store/feed"
	"github.com/bothy-env/bothy/internal/store/inspect"
	"github.com/bothy-env/bothy/internal/store/logs"
	"github.com/bothy-env/bothy/internal/store/retention"
	"github.com/bothy-env/bothy/internal/store/settings"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// Environments are the rows of environments, which change together with their events, entries, charges and receipts: every method that
// writes is one transaction.
type Environments struct {
	db *txn.DB
	// writes that arrive at the same time share a transaction.
	writes sqlkit.GroupCommit[*writing]
}

// Queries read environments.
type Queries struct{ db *txn.DB }

// WorkQueue hands recorded actions to workers. The rows of environments are the queue.
type WorkQueue struct{ db *txn.DB }

// Artifacts are what work on an environment uses and produces: sealed secrets, Terraform states, objects at the provider. Writes are
// fenced by the generation of the work.
type Artifacts struct{ db *txn.DB }

// PoolTable are the pools.
type PoolTable struct{ db *txn.DB }

// HostTable are the hosts, and which worker holds each.
type HostTable struct{ db *txn.DB }

// QuotaTable are the limits of scopes and what counts in them.
type QuotaTable struct{ db *txn.DB }

// OrphanTable are the orphans.
type OrphanTable struct{ db *txn.DB }

// EventLog are the events.
type EventLog struct{ db *txn.DB }

// ReceiptChain are the signed receipts; each has the hash of the one before.
type ReceiptChain struct{ db *txn.DB }

// Audit recomputes stored sums.
type Audit struct{ db *txn.DB }

func newStore(db *txn.DB) *Store {
	envs := &Environments{db: db}
	envs.writes.Run = envs.writeTogether
	return &Store{
		db:           db,
		Environments: envs,
		Queries:      &Queries{db},
		WorkQueue:    &WorkQueue{db},
		Artifacts:    &Artifacts{db},
		PoolTable:    &PoolTable{db},
		HostTable:    &HostTable{db},
		QuotaTable:   &QuotaTable{db},
		OrphanTable:  &OrphanTable{db},
		EventLog:     &EventLog{db},
		ReceiptChain: &ReceiptChain{db},
		Audit:        &Audit{db},
		Lines:        logs.New(db),
		Settings:     settings.New(db),
		Election:     election.New(db),
		Ledger:       billing.New(db),
		Pruner:       retention.New(db),
		Feed:         feed.New(db),
	}
}

// Callers import only this package, which names the types of its parts.

type (
	// Found is what a database says of itself before it is opened.
	Found = inspect.Found
	// Check decides whether a database is the right one.
	Check = inspect.Check
	// Commit reports a transaction of this process.
	Commit = txn.Commit
	// Kept holds the live environments in memory.
	Kept = feed.Kept
	// Bid is a daemon's bid for the lead.
	Bid = election.Bid
	// EntryFilter selects entries of the ledger.
	EntryFilter = billing.EntryFilter
	// ChargeFilter selects charges.
	ChargeFilter = billing.ChargeFilter
	// Charges are sums of charges.
	Charges = billing.Charges
	// Pruned counts what was pruned.
	Pruned = retention.Pruned
)

// Bounds of an environment's log.
const (
	KeptLogLines = logs.KeptLogLines
	MaxLogLine   = logs.MaxLogLine
)

// AsLeader returns a context for writes in the name of the leader of a generation. Every write with it, of any method, is refused with
// ErrDeposed, in its own transaction, once another daemon has taken the lead.
func AsLeader(ctx context.Context, generation int64) context.Context {
	return txn.AsLeader(ctx, generation)
}
