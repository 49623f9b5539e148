package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
)

const selectLeader = "SELECT worker, address, worker_until, generation, since, planned_at FROM leader WHERE singleton = 1"

func scanLeader(row sqlkit.Scanner) (l fleet.Leader, err error) {
	err = row.Scan(&l.Worker, sqlkit.Text(&l.Address), sqlkit.Time(&l.Until), &l.Generation, sqlkit.Time(&l.Since), sqlkit.Time(&l.PlannedAt))
	return l, err
}

// Bid is what a worker offers for the lead.
type Bid struct {
	Worker, Address string
	// For is how long the lead is asked for.
	For time.Duration
	// PlannedAt is when the worker last had a plan made; zero for never.
	PlannedAt time.Time
	// Ended are workers that are known to have ended: whoever waits for their time to be over waits in vain.
	Ended []string
}

// Lead renews a worker's lead, or takes it when nobody leads: nobody ever did, whoever did resigned or has ended, or the lead was
// not renewed in time. Taking it raises the generation, which fences whatever is written AsLeader of an earlier one. It gives
// who leads now, and for how long unless that is renewed. Time is the database's where daemons share one, else now.
func (s *Store) Lead(ctx context.Context, bid Bid, now time.Time) (leader fleet.Leader, left time.Duration, err error) {
	if bid.Worker == "" || bid.For <= 0 {
		return leader, 0, fleet.Errorf(fleet.CodeInternal, "lead: the worker or the time is missing")
	}
	// Those that ask again and again write nothing.
	leader, at, err := s.leaderAt(ctx, s.db.Read, now, "")
	if err == nil && !s.mayLead(leader, bid, at) {
		return leader, leader.Until.Sub(at), nil
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return leader, 0, s.db.Fault(ctx, "lead", err)
	}
	err = s.inTx(ctx, "lead", func(tx *txn) error {
		const first = `INSERT INTO leader (singleton, worker, address, worker_until, generation, since, planned_at)
			VALUES (1, '', '', 0, 0, 0, 0) ON CONFLICT (singleton) DO NOTHING`
		if _, err := tx.ExecContext(ctx, first); err != nil {
			return err
		}
		var at time.Time
		if leader, at, err = s.leaderAt(ctx, tx, now, s.db.ForUpdate); err != nil {
			return err
		}
		if s.mayLead(leader, bid, at) {
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

// mayLead tells whether a worker may renew its lead, or take it.
func (s *Store) mayLead(l fleet.Leader, bid Bid, now time.Time) bool {
	return l.Worker == bid.Worker || !l.Leads(now) || s.ended(l.Worker, bid.Worker, bid.Ended)
}

// led is the lead in a worker's hands.
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

// rowReader is a pool or a transaction.
type rowReader interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// leaderAt reads who leads, and the time by which that is to be judged.
func (s *Store) leaderAt(ctx context.Context, from rowReader, now time.Time, lock string) (l fleet.Leader, at time.Time, err error) {
	if l, err = scanLeader(from.QueryRowContext(ctx, selectLeader+lock)); err != nil || !s.db.Shared() {
		return l, now, err
	}
	// After the lock: whoever waited for it is judged by the time at which it has it.
	err = from.QueryRowContext(ctx, "SELECT clock_timestamp()").Scan(&at)
	return l, at.UTC(), err
}

// Leader gives who leads, or did last, and the time by which that is to be judged: the database's where daemons share one,
// else now. It is zero when nobody ever led.
func (s *Store) Leader(ctx context.Context, now time.Time) (fleet.Leader, time.Time, error) {
	l, at, err := s.leaderAt(ctx, s.db.Read, now, "")
	if errors.Is(err, sql.ErrNoRows) {
		return fleet.Leader{}, now, nil
	}
	return l, at, s.db.Fault(ctx, "read who leads", err)
}

// Resign gives up a worker's lead, so that another may lead at once.
func (s *Store) Resign(ctx context.Context, worker string) error {
	return s.inTx(ctx, "resign", func(tx *txn) error {
		_, err := tx.ExecContext(ctx, "UPDATE leader SET worker = '', worker_until = 0 WHERE worker = $1", worker)
		return err
	})
}

type leaderKey struct{}

// AsLeader gives a context for what is written in the name of who leads at a generation: every write with it, of any method, is
// refused with ErrDeposed when another has taken the lead, in the transaction that would make it.
func AsLeader(ctx context.Context, generation int64) context.Context {
	return context.WithValue(ctx, leaderKey{}, generation)
}

// leading gives the generation of AsLeader; false: nobody's in particular.
func leading(ctx context.Context) (generation int64, ok bool) {
	generation, ok = ctx.Value(leaderKey{}).(int64)
	return generation, ok
}

// stillLeads refuses what is written in the name of one who does not lead any more. It is asked last, right before the commit:
// until that is done nobody can take the lead, and a transaction that waits for rows does not keep its own leader from renewing.
func (s *Store) stillLeads(ctx context.Context, tx *txn) error {
	generation, ok := leading(ctx)
	if !ok {
		return nil
	}
	var at int64
	err := tx.QueryRowContext(ctx, "SELECT generation FROM leader WHERE singleton = 1"+s.db.ForShare).Scan(&at)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if at != generation {
		return late(ErrDeposed, "another daemon leads: generation %d was expected, it is at %d", generation, at)
	}
	return nil
}
