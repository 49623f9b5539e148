// Package txn runs the store's write transactions. It retries one that lost against another, refuses one of a former leader or one that
// meets a restored database, numbers the records that all transactions share, and announces commits.
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

// ErrSetBack says that the database ends before what this process has recorded in it, so it was restored meanwhile. It carries CodeUnavailable.
var ErrSetBack = errors.New("the database was restored to an earlier time")

// ErrDeposed says that another daemon has taken the lead, so what is written in the name of the former leader is refused. It carries CodeConflict.
var ErrDeposed = errors.New("another daemon leads now")

// DB is a database whose writes are transactions of InTx. It is safe for concurrent use.
type DB struct {
	*dialect.DB
	// seen is how far this process knows the records to be.
	seen highest
	told commits
}

// New returns a database of this process.
func New(db *dialect.DB) *DB { return &DB{DB: db} }

// Environments reads rows of environments; rest follows the FROM clause. The error names what was being done.
func (d *DB) Environments(ctx context.Context, doing, rest string, args ...any) ([]fleet.Environment, error) {
	rows, err := d.Read.QueryContext(ctx, record.SelectEnvs+rest, args...)
	if err != nil {
		return nil, d.Fault(ctx, doing, err)
	}
	envs, err := sqlkit.Collect(rows, record.EnvScanner())
	return envs, d.Fault(ctx, doing, err)
}

// Marks gives the highest numbers of the records: what a restored database would be behind of.
func (d *DB) Marks(ctx context.Context) (events, receipts int64, err error) {
	err = d.Read.QueryRowContext(ctx, record.ReadMarks).Scan(&events, &receipts)
	return events, receipts, d.Fault(ctx, "read marks", err)
}

// HasEnded reports whether a worker has ended, as far as is known. A database that one daemon has for itself is used by one process
// of it at a time, which holds the lock of the state folder. Where daemons share one, a folder that was copied makes two
// living ones of one daemon: a name proves nothing then.
func (d *DB) HasEnded(worker, by string, known []string) bool {
	return slices.Contains(known, worker) || !d.Shared() && worker != by && fleet.DaemonOf(worker) == fleet.DaemonOf(by)
}
