package store

import (
	"context"
	"errors"
	"time"

	"github.com/bothy-env/bothy/internal/failpoint"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
)

// txAttempts is how often a transaction is tried that lost against another, or whose connection broke before the commit.
const txAttempts = 6

// txLimit is how long a transaction may take, all tries included, on a database that is
// reached over a network. A server that has stopped without a word would hold its caller for good.
const txLimit = 45 * time.Second

// inTx runs fn in one write transaction and commits it when fn gives no error.
// Errors that carry a fleet code pass unchanged, the database's own get one.
// fn may be run more than once: it must have no effect but in tx and in what it assigns anew.
func (s *Store) inTx(ctx context.Context, doing string, fn func(*txn) error) error {
	if !s.db.Shared() {
		_, err := s.tryTx(ctx, doing, fn)
		return err
	}
	limited, cancel := context.WithTimeout(ctx, txLimit)
	defer cancel()
	for attempt := 0; ; attempt++ {
		then, err := s.tryTx(limited, doing, fn)
		if err == nil || then != tryAgain || attempt+1 == txAttempts {
			return s.unansweredIn(ctx, limited, doing, err)
		}
		select {
		case <-limited.Done():
			return s.unansweredIn(ctx, limited, doing, err)
		case <-time.After(s.db.Pause(attempt)):
		}
	}
}

// next is what there is to do after a try that failed.
type next int

const (
	// giveUp: another try would end the same way.
	giveUp next = iota
	// tryAgain: another may do better.
	tryAgain
	// maybeKept: it may have been committed, so another could do it twice.
	maybeKept
)

// tryTx is one try, and what to do when it fails.
func (s *Store) tryTx(ctx context.Context, doing string, fn func(*txn) error) (then next, err error) {
	events, receipts := s.Seen()
	tx, err := s.begin(ctx)
	if err != nil {
		return s.mayTryAgain(ctx, err), s.db.Fault(ctx, doing, err)
	}
	defer tx.End()
	if err := fn(tx); err != nil {
		return s.mayTryAgain(ctx, err), s.db.Fault(ctx, doing, err)
	}
	if tx.events > 0 && tx.events <= events || tx.receipts > 0 && tx.receipts <= receipts {
		return giveUp, setBack(doing)
	}
	if err := s.stillLeads(ctx, tx); err != nil {
		return s.mayTryAgain(ctx, err), s.db.Fault(ctx, doing, err)
	}
	failpoint.Reach("store", doing, failpoint.Before)
	err = tx.Commit()
	if !s.db.Shared() && (err != nil || tx.changed.unnamed > 0 || len(tx.changed.ids) > 0) {
		s.changes.note(tx.changed.ids, err != nil || tx.changed.unnamed > 0)
	}
	s.tellCommitted(tx, err)
	if err == nil {
		s.seen.advance(tx.events, tx.receipts)
		failpoint.Reach("store", doing, failpoint.After)
		s.db.Committed(ctx)
		return giveUp, nil
	}
	if s.db.MaybeKept(err) {
		// It may have been kept. A second try would not know that and do it twice.
		return maybeKept, fleet.Errorf(fleet.CodeUnavailable, "%s: the database's answer to the commit was lost: %w", doing, err).
			WithHint("it may have been kept: look first, or ask again with the same idempotency key")
	}
	return s.mayTryAgain(ctx, err), s.db.Fault(ctx, doing, err)
}

// txn is a write transaction.
type txn struct {
	*sqlkit.Tx
	// changed are the rows of environments that it writes, told the environments that it adds events of ("" for one of none), and
	// logged those that it adds lines of log of.
	changed      txChanges
	told, logged []string
	// events and receipts are the numbers of the last ones that it adds, 0 for none.
	events, receipts int64
	// standing is what is known of the limits of all that share the transaction; nil for one alone.
	standing *standing
}

// begin begins a write transaction, which must be ended.
func (s *Store) begin(ctx context.Context) (*txn, error) {
	tx, err := s.db.Begin(ctx)
	if err != nil {
		return nil, err
	}
	t := &txn{Tx: tx}
	tx.Wrote = t.changed.wrote
	return t, nil
}

// mayTryAgain says whether a transaction failed, before its commit or by it, for a reason that passes.
func (s *Store) mayTryAgain(ctx context.Context, err error) next {
	if s.db.MayTryAgain(ctx, err) {
		return tryAgain
	}
	return giveUp
}

// unansweredIn tells the end of txLimit from the end of the caller's own context.
func (s *Store) unansweredIn(ctx, limited context.Context, doing string, err error) error {
	if !errors.Is(err, context.DeadlineExceeded) || limited.Err() == nil || ctx.Err() != nil {
		return err
	}
	return fleet.Errorf(fleet.CodeUnavailable, "%s: the database did not answer within %s: %w", doing, txLimit, err).
		WithHint("look whether PostgreSQL at %s works and is not overloaded", s.db.Where)
}
