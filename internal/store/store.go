// Package store keeps environments and their records in a database. Its
// methods say what is meant, not how it is kept; every write is one transaction.
//
// Every error of the database carries a fleet code. Times are kept in
// microseconds and given in UTC; empty maps and slices come back as nil.
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

// Open opens the database that dsn names and brings its schema up to date. dsn is
// "sqlite://" and an absolute path, which is made when it is not there in a folder
// that is; or "postgres://user:password@host:port/database", which must be there, and be
// reached without a pooler that shares connections between transactions. Errors: CodeInvalid for a
// bad dsn, CodeUnavailable with a hint when the database cannot be used (away, rights,
// disk, corrupt, from a newer version). Before anything is written, a migration included, the checks are asked whether the
// database is the right one; their errors are passed.
func Open(ctx context.Context, dsn string, checks ...Check) (*Store, error) {
	var db *dialect.DB
	var err error
	switch scheme, rest, ok := strings.Cut(dsn, "://"); {
	case ok && scheme == "sqlite":
		db, err = dialect.OpenSQLite(ctx, rest, inspect.Asking(checks))
	case ok && (scheme == "postgres" || scheme == "postgresql"):
		db, err = dialect.OpenPostgres(ctx, dsn, inspect.Asking(checks))
	default:
		// The dsn itself is not shown: it may hold a password.
		err = fleet.Errorf(fleet.CodeInvalid, "open store: the database address has no known scheme").
			WithHint("write it as sqlite:///absolute/path/bothy.db or %s", dialect.PostgresForm)
	}
	if err != nil {
		return nil, err
	}
	return newStore(txn.New(db)), nil
}

// Close ends all use of the database. Do not call it while other methods run.
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

// Marks gives the highest numbers of the records: what a restored database would be behind of.
func (s *Store) Marks(ctx context.Context) (events, receipts int64, err error) {
	return s.db.Marks(ctx)
}

// Seen gives the highest numbers of the records that this process has committed; it asks nobody.
func (s *Store) Seen() (events, receipts int64) { return s.db.Seen() }

// ForgetSeen takes the database as it is now, once it is known that it was restored.
func (s *Store) ForgetSeen() { s.db.ForgetSeen() }

// OnCommit has fn called after each commit of this process. What other processes change is told by Wakes. fn must be quick and must
// not call the store.
func (s *Store) OnCommit(fn func(Commit)) { s.db.OnCommit(fn) }

// Shared reports whether other daemons may use the same database.
func (s *Store) Shared() bool { return s.db.Shared() }

// Now gives the database's clock and true; on SQLite, which has none of its own, zero and false.
func (s *Store) Now(ctx context.Context) (time.Time, bool, error) {
	if !s.db.Shared() {
		return time.Time{}, false, nil
	}
	var now time.Time
	err := s.db.Read.QueryRowContext(ctx, "SELECT clock_timestamp()").Scan(&now)
	return now.UTC(), err == nil, s.db.Fault(ctx, "read the database's clock", err)
}
