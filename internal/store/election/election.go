// Package election elects the daemon that leads. The lead is a row that its holder renews; package txn fences writes of former leaders.
package election

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

const selectLeader = "SELECT worker, address, worker_until, generation, since, planned_at FROM leader WHERE singleton = 1"

func scanLeader(row sqlkit.Scanner) (l fleet.Leader, err error) {
	err = row.Scan(&l.Worker, sqlkit.Text(&l.Address), sqlkit.Time(&l.Until), &l.Generation, sqlkit.Time(&l.Since), sqlkit.Time(&l.PlannedAt))
	return l, err
}

// Election is the election of the leader.
type Election struct{ db *txn.DB }

// New returns the election of a database.
func New(db *txn.DB) *Election { return &Election{db} }

// Bid is a worker's bid for the lead.
type Bid struct {
	Worker, Address string
	// For is the duration that the bid asks for.
	For time.Duration
	// PlannedAt is when the worker last made a plan; zero for never.
	PlannedAt time.Time
	// Ended are workers known to have ended, whose lead need not expire first.
	Ended []string
}

// Lead renews a worker's lead, or takes the lead when nobody has it: nobody ever led, the former leader resigned or has ended, or its
// lead expired. Taking the lead raises the generation, which fences writes made AsLeader of an earlier one. It returns the current leader
// and how long its lead lasts unless renewed. Time is the database's when daemons share one, otherwise now.
func (e *Election) Lead(ctx context.Context, bid Bid, now time.Time) (leader fleet.Leader, left time.Duration, err error) {
	if bid.Worker == "" || bid.For <= 0 {
		return leader, 0, fleet.Errorf(fleet.CodeInternal, "lead: the worker or the time is missing")
	}
	// A worker that only asks writes nothing.
	leader, at, err := e.leaderAt(ctx, e.db.Read, now, "")
	if err == nil && !e.mayLead(leader, bid, at) {
		return leader, leader.Until.Sub(at), nil
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return leader, 0, e.db.Fault(ctx, "lead", err)
	}
	err = e.db.InTx(ctx, "lead", func(tx *txn.Tx) error {
		const first = `INSERT INTO leader (singleton, worker, address, worker_until, generation, since, planned_at)
			VALUES (1, '', '', 0, 0, 0, 0) ON CONFLICT (singleton) DO NOTHING`
		if _, err := tx.ExecContext(ctx, first); err != nil {
			return err
		}
		var at time.Time
		if leader, at, err = e.leaderAt(ctx, tx, now, e.db.ForUpdate); err != nil {
			return err
		}
		if e.mayLead(leader, bid, at) {
			leader = led(leader, bid, at)
			const write = `UPDATE leader SET worker = $1, address = $2, worker_until = $3, generation = $4, since = $5, planned_at = $6
				WHERE singleton = 1`
			if _, err := tx.ExecContext(ctx, write, leader.Worker, leader.Address, sqlkit.Micros(leader.Until), leader.Generation,
				sqlkit.Micros(leader.Since), sqlkit.Micros(leader.PlannedAt)); err != nil {
				return err
			}
		}
		left = leader.Until.Sub(at)
		return nil
	})
	return leader, left, err
}

// mayLead reports whether a worker may renew its lead, or take it.
func (e *Election) mayLead(l fleet.Leader, bid Bid, now time.Time) bool {
	return l.Worker == bid.Worker || !l.Leads(now) || e.db.HasEnded(l.Worker, bid.Worker, bid.Ended)
}

// led is the lead once the worker has it.
func led(l fleet.Leader, bid Bid, now time.Time) fleet.Leader {
	if l.Worker != bid.Worker {
		l.Generation++
		l.Since = sqlkit.FromMicros(sqlkit.Micros(now))
	}
	l.Worker, l.Address, l.Until = bid.Worker, sqlkit.Prose(bid.Address), sqlkit.FromMicros(sqlkit.Micros(now.Add(bid.For)))
	if bid.PlannedAt.After(l.PlannedAt) {
		l.PlannedAt = sqlkit.FromMicros(sqlkit.Micros(bid.PlannedAt))
	}
	return l
}

// leaderAt reads the leader, and the time by which to judge its lead.
func (e *Election) leaderAt(ctx context.Context, from sqlkit.Querier, now time.Time, lock string) (l fleet.Leader, at time.Time, err error) {
	if l, err = scanLeader(from.QueryRowContext(ctx, selectLeader+lock)); err != nil || !e.db.Shared() {
		return l, now, err
	}
	// Read after the lock: a worker that waited for the lock is judged by the time at which it has it.
	err = from.QueryRowContext(ctx, "SELECT clock_timestamp()").Scan(&at)
	return l, at.UTC(), err
}

// Leader returns the current or last leader, and the time by which to judge its lead: the database's when daemons share one, otherwise
// now. It is zero when nobody ever led.
func (e *Election) Leader(ctx context.Context, now time.Time) (fleet.Leader, time.Time, error) {
	l, at, err := e.leaderAt(ctx, e.db.Read, now, "")
	if errors.Is(err, sql.ErrNoRows) {
		return fleet.Leader{}, now, nil
	}
	return l, at, e.db.Fault(ctx, "read who leads", err)
}

// Resign gives up a worker's lead, so that another worker may lead at once.
func (e *Election) Resign(ctx context.Context, worker string) error {
	return e.db.InTx(ctx, "resign", func(tx *txn.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE leader SET worker = '', worker_until = 0 WHERE worker = $1", worker)
		return err
	})
}
