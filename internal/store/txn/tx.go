package txn

import (
	"context"
	"errors"
	"time"

	"github.com/bothy-env/bothy/internal/failpoint"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
)

// txAttempts is how often to try a transaction that loses a conflict, or whose connection breaks before the commit.
const txAttempts = 6

// Limit bounds a transaction, all tries included, on a database that is reached over a network. A server that stops silently would block
// its caller forever.
const Limit = 45 * time.Second

// InTx runs fn in one write transaction and commits it if fn returns nil. Errors with a fleet code pass unchanged; the database's own
// errors get one. fn may run more than once: it must have no effects other than in tx and in variables that it sets anew.
func (d *DB) InTx(ctx context.Context, doing string, fn func(*Tx) error) error {
	if !d.Shared() {
		_, err := d.Try(ctx, doing, fn)
		return err
	}
	limited, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	for attempt := 0; ; attempt++ {
		then, err := d.Try(limited, doing, fn)
		if err == nil || then != TryAgain || attempt+1 == txAttempts {
			return d.unansweredIn(ctx, limited, doing, err)
		}
		select {
		case <-limited.Done():
			return d.unansweredIn(ctx, limited, doing, err)
		case <-time.After(d.Pause(attempt)):
		}
	}
}

// Next is what to do after a failed try.
type Next int

const (
	// GiveUp means that another try would end the same way.
	GiveUp Next = iota
	// TryAgain means that another may do better.
	TryAgain
	// MaybeKept means that it may have been committed, so another try could do it twice.
	MaybeKept
)

// Try makes one try, and returns what to do when it fails.
func (d *DB) Try(ctx context.Context, doing string, fn func(*Tx) error) (then Next, err error) {
	events, receipts := d.Seen()
	tx, err := d.begin(ctx)
	if err != nil {
		return d.onFailure(ctx, err), d.Fault(ctx, doing, err)
	}
	defer tx.End()
	if err := fn(tx); err != nil {
		return d.onFailure(ctx, err), d.Fault(ctx, doing, err)
	}
	if tx.events > 0 && tx.events <= events || tx.receipts > 0 && tx.receipts <= receipts {
		return GiveUp, setBack(doing)
	}
	if err := tx.stillLeads(ctx); err != nil {
		return d.onFailure(ctx, err), d.Fault(ctx, doing, err)
	}
	failpoint.Reach("store", doing, failpoint.Before)
	err = tx.Commit()
	d.tellCommitted(tx, err)
	if err == nil {
		d.seen.advance(tx.events, tx.receipts)
		failpoint.Reach("store", doing, failpoint.After)
		d.Committed(ctx)
		return GiveUp, nil
	}
	if d.DB.MaybeKept(err) {
		// The commit may have been applied. A second try would not know that and do it twice.
		return MaybeKept, fleet.Errorf(fleet.CodeUnavailable, "%s: the database's answer to the commit was lost: %w", doing, err).
			WithHint("the change may have been committed: check first, or retry with the same idempotency key")
	}
	return d.onFailure(ctx, err), d.Fault(ctx, doing, err)
}

// Tx is a write transaction.
type Tx struct {
	*sqlkit.Tx
	// DB is the database that the transaction writes.
	DB *DB
	// changed are the rows of environments that it writes, told the environments that it adds events of ("" for none), and logged those
	// that it adds log lines of.
	changed      changes
	told, logged []string
	// events and receipts are the numbers of the last ones that it adds, 0 for none.
	events, receipts int64
}

// begin begins a write transaction. The caller must end it.
func (d *DB) begin(ctx context.Context) (*Tx, error) {
	tx, err := d.DB.Begin(ctx)
	if err != nil {
		return nil, err
	}
	t := &Tx{Tx: tx, DB: d}
	tx.Wrote = t.changed.wrote
	return t, nil
}

// onFailure returns whether to retry a transaction that failed before or at its commit.
func (d *DB) onFailure(ctx context.Context, err error) Next {
	if d.MayTryAgain(ctx, err) {
		return TryAgain
	}
	return GiveUp
}

// unansweredIn tells the end of Limit from the end of the caller's own context.
func (d *DB) unansweredIn(ctx, limited context.Context, doing string, err error) error {
	if !errors.Is(err, context.DeadlineExceeded) || limited.Err() == nil || ctx.Err() != nil {
		return err
	}
	return fleet.Errorf(fleet.CodeUnavailable, "%s: the database did not answer within %s: %w", doing, Limit, err).
		WithHint("check whether PostgreSQL at %s runs and is not overloaded", d.Where)
}

// Count runs a statement and returns how many rows it changed.
func (t *Tx) Count(ctx context.Context, query string, args ...any) (int, error) {
	result, err := t.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}
