// Package txn runs the store's write transactions. It retries one that lost a conflict, refuses one of a former leader or one on a
// restored database, numbers the records that all transactions share, and reports commits.
package txn

import (
	"context"
	"errors"
	"slices"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/dialect"
	"github.com/bothy-env/bothy/internal/store/record"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
)

// ErrSetBack means that the database is older than what this process has written to it, so it was restored meanwhile. It carries CodeUnavailable.
var ErrSetBack = errors.New("the database was restored to an earlier time")

// ErrDeposed means that another daemon has taken the lead, so writes in the name of the former leader are refused. It carries CodeConflict.
var ErrDeposed = errors.New("another daemon leads now")

// DB is a database whose writes are transactions of InTx. It is safe for concurrent use.
type DB struct {
	*dialect.DB
	// seen are the highest numbers that this process has committed; told gets its commits.
	seen highest
	told commits
}

// New returns a database whose commits are this process's.
func New(db *dialect.DB) *DB { return &DB{DB: db} }

// Environments reads rows of environments; rest follows the FROM clause. doing names the operation in errors.
func (d *DB) Environments(ctx context.Context, doing, rest string, args ...any) ([]fleet.Environment, error) {
	rows, err := d.Read.QueryContext(ctx, record.SelectEnvs+rest, args...)
	if err != nil {
		return nil, d.Fault(ctx, doing, err)
	}
	envs, err := sqlkit.Collect(rows, record.EnvScanner())
	return envs, d.Fault(ctx, doing, err)
}

// Marks returns the highest numbers of events and receipts. A restored database has lower ones.
func (d *DB) Marks(ctx context.Context) (events, receipts int64, err error) {
	err = d.Read.QueryRowContext(ctx, record.ReadMarks).Scan(&events, &receipts)
	return events, receipts, d.Fault(ctx, "read marks", err)
}

// HasEnded reports whether a worker is known to have ended. An unshared database is used by one process of its daemon at a time, which
// has locked the state directory. Where daemons share a database, a copied state directory makes two live processes of one daemon, so a
// name proves nothing.
func (d *DB) HasEnded(worker, by string, known []string) bool {
	return slices.Contains(known, worker) || !d.Shared() && worker != by && fleet.DaemonOf(worker) == fleet.DaemonOf(by)
}
