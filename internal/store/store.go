// Package store keeps environments and their records in a database. Its methods express intents and hide the tables; every write is one
// transaction.
//
// Every error of the database carries a fleet code. Times are stored in microseconds and returned in UTC; empty maps and slices are
// returned as nil.
package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/billing"
	"github.com/bothy-env/bothy/internal/store/dialect"
	"github.com/bothy-env/bothy/internal/store/election"
	"github.com/bothy-env/bothy/internal/store/feed"
	"github.com/bothy-env/bothy/internal/store/inspect"
	"github.com/bothy-env/bothy/internal/store/logs"
	"github.com/bothy-env/bothy/internal/store/retention"
	"github.com/bothy-env/bothy/internal/store/settings"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// Store is a database of environments. It is safe for concurrent use. Its methods are those of its parts.
type Store struct {
	*Environments
	*Queries
	*WorkQueue
	*Artifacts
	*PoolTable
	*HostTable
	*QuotaTable
	*OrphanTable
	*EventLog
	*ReceiptChain
	*Audit
	*logs.Lines
	*settings.Settings
	*election.Election
	*billing.Ledger
	*retention.Pruner
	*feed.Feed
	db *txn.DB
}

// Open opens the database at dsn and migrates its schema. dsn is "sqlite://" and an absolute path in an existing directory, where the
// file is created if it is missing; or "postgres://user:password@host:port/database", an existing database, reached without a pooler that
// shares connections between transactions.
//
// Before anything is written, migrations included, the checks decide whether it is the right database; their errors are returned
// unchanged. Other errors: CodeInvalid for a bad dsn, CodeUnavailable with a hint when the database cannot be used (unreachable,
// permissions, disk, corrupt, from a newer version).
func Open(ctx context.Context, dsn string, checks ...Check) (*Store, error) {
	var db *dialect.DB
	var err error
	switch scheme, rest, ok := strings.Cut(dsn, "://"); {
	case ok && scheme == "sqlite":
		db, err = dialect.OpenSQLite(ctx, rest, inspect.Asking(checks))
	case ok && (scheme == "postgres" || scheme == "postgresql"):
		db, err = dialect.OpenPostgres(ctx, dsn, inspect.Asking(checks))
	default:
		// The dsn is not shown: it may contain a password.
		err = fleet.Errorf(fleet.CodeInvalid, "open store: the database address has an unknown scheme").
			WithHint("write it as sqlite:///absolute/path/bothy.db or %s", dialect.PostgresForm)
	}
	if err != nil {
		return nil, err
	}
	return newStore(txn.New(db)), nil
}

// Close closes the database. Do not call it while other methods run.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Ping reports whether the database answers a read.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.db.SameFile(); err != nil {
		return err
	}
	var n int
	err := s.db.Read.QueryRowContext(ctx, "SELECT COUNT(*) FROM counters").Scan(&n)
	return s.db.Fault(ctx, "ping store", err)
}

// Marks returns the highest numbers of events and receipts. A restored database has lower ones.
func (s *Store) Marks(ctx context.Context) (events, receipts int64, err error) {
	return s.db.Marks(ctx)
}

// Seen returns the highest numbers of events and receipts that this process has committed, without asking the database.
func (s *Store) Seen() (events, receipts int64) { return s.db.Seen() }

// ForgetSeen accepts the database as it is now, once it is known to be restored.
func (s *Store) ForgetSeen() { s.db.ForgetSeen() }

// OnCommit calls fn after each commit of this process. For the commits of other processes see Wakes. fn must be quick and must not call
// the store.
func (s *Store) OnCommit(fn func(Commit)) { s.db.OnCommit(fn) }

// Shared reports whether other daemons may use the same database.
func (s *Store) Shared() bool { return s.db.Shared() }

// Now returns the database's clock and true; on SQLite, which has none of its own, zero and false.
func (s *Store) Now(ctx context.Context) (time.Time, bool, error) {
	if !s.db.Shared() {
		return time.Time{}, false, nil
	}
	var now time.Time
	err := s.db.Read.QueryRowContext(ctx, "SELECT clock_timestamp()").Scan(&now)
	return now.UTC(), err == nil, s.db.Fault(ctx, "read the database's clock", err)
}
