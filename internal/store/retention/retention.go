// Package retention removes records that are kept for a limited time. The leader calls it (engine/retention); each transaction removes a
// limited number, the oldest first. It never removes records of a live environment, or records that sums and chains still need.
package retention

import (
	"context"
	"time"

	"github.com/bothy-env/bothy/internal/store/record"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// Pruner prunes a database.
type Pruner struct{ db *txn.DB }

// New returns the pruner of a database.
func New(db *txn.DB) *Pruner { return &Pruner{db} }

// Pruned is the result of one step.
type Pruned struct {
	// Count is how many records were removed.
	Count int
	// After is where the next step continues.
	After int64
	// More: there may be more to remove now.
	More bool
}

// ofGone selects records of environments that do not exist or were destroyed before a moment. The record's table is r, the moment $1.
const ofGone = `NOT EXISTS (SELECT 1 FROM environments AS v WHERE v.id = r.environment_id AND (v.state <> 'destroyed' OR v.destroyed_at >= $1))`

// PruneEvents removes events from before a moment, starting after a number. Events of environments that are live or were destroyed later
// stay.
func (r *Pruner) PruneEvents(ctx context.Context, before time.Time, after int64, most int) (p Pruned, err error) {
	err = r.db.InTx(ctx, "prune events", func(tx *txn.Tx) error {
		p = Pruned{After: after}
		// Numbers and times rise together, unless a clock was set back: events behind one that is not due wait for it.
		const page = `SELECT COALESCE(MAX(seq), 0), COUNT(*) FROM (SELECT seq FROM events WHERE seq > $1 ORDER BY seq LIMIT $2) AS page`
		const due = "SELECT COALESCE(MIN(seq), 0) FROM events WHERE seq > $1 AND seq <= $2 AND at >= $3"
		var last, first int64
		var count int
		if err := tx.QueryRowContext(ctx, page, after, most).Scan(&last, &count); err != nil || count == 0 {
			return err
		}
		if err := tx.QueryRowContext(ctx, due, after, last, sqlkit.Micros(before)).Scan(&first); err != nil {
			return err
		}
		p.More = count == most
		if first > 0 {
			last, p.More = first-1, false
		}
		if last <= after {
			return nil
		}
		n, err := tx.Count(ctx, "DELETE FROM events WHERE seq IN (SELECT seq FROM events AS r WHERE seq > $2 AND seq <= $3 AND "+ofGone+")",
			sqlkit.Micros(before), after, last)
		p.Count, p.After = n, last
		return err
	})
	return p, err
}

// PruneLogs removes log lines of one environment that was destroyed before a moment, starting with those destroyed at from, in
// microseconds.
func (r *Pruner) PruneLogs(ctx context.Context, before time.Time, from int64, most int) (p Pruned, err error) {
	err = r.db.InTx(ctx, "prune logs", func(tx *txn.Tx) error {
		p = Pruned{After: from}
		const next = `SELECT v.id, v.destroyed_at FROM environments AS v WHERE v.state = 'destroyed' AND v.destroyed_at >= $1 AND v.destroyed_at < $2
			AND EXISTS (SELECT 1 FROM log_lines AS l WHERE l.environment_id = v.id) ORDER BY v.destroyed_at, v.id LIMIT 1`
		rows, err := tx.QueryContext(ctx, next, from, sqlkit.Micros(before))
		if err != nil {
			return err
		}
		found, err := sqlkit.Collect(rows, func(row sqlkit.Scanner) (id string, err error) {
			err = row.Scan(&id, &p.After)
			return id, err
		})
		if err != nil || len(found) == 0 {
			return err
		}
		p.More = true
		const remove = `DELETE FROM log_lines WHERE environment_id = $1
			AND seq < (SELECT MIN(seq) FROM log_lines WHERE environment_id = $1) + $2`
		p.Count, err = tx.Count(ctx, remove, found[0], int64(most))
		return err
	})
	return p, err
}

// environmentParts are the tables with parts of an environment's row.
var environmentParts = []string{"terraform_states", "secrets", "objects", "estimates"}

// PruneEnvironments removes the rows, and with them the idempotency keys, of environments destroyed before a moment, once their logs are
// pruned.
func (r *Pruner) PruneEnvironments(ctx context.Context, before time.Time, most int) (p Pruned, err error) {
	err = r.db.InTx(ctx, "prune environments", func(tx *txn.Tx) error {
		p = Pruned{}
		const oldest = `SELECT v.id FROM environments AS v WHERE v.state = 'destroyed' AND v.destroyed_at < $1
			AND NOT EXISTS (SELECT 1 FROM log_lines AS l WHERE l.environment_id = v.id) ORDER BY v.destroyed_at, v.id LIMIT $2`
		rows, err := tx.QueryContext(ctx, oldest, sqlkit.Micros(before), most)
		if err != nil {
			return err
		}
		ids, err := sqlkit.Collect(rows, func(row sqlkit.Scanner) (id string, err error) {
			err = row.Scan(&id)
			return id, err
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		these := "(" + sqlkit.Placeholders(1, len(ids)) + ")"
		var all []sqlkit.Statement
		for _, table := range environmentParts {
			all = append(all, sqlkit.Statement{Text: "DELETE FROM " + table + " WHERE environment_id IN " + these, Args: sqlkit.List(ids)})
		}
		unnamed := tx.Unnamed()
		all = append(all,
			sqlkit.Statement{Text: "DELETE FROM environments WHERE id IN " + these, Args: sqlkit.List(ids)},
			sqlkit.Statement{Text: record.RaiseCounter, Args: []any{record.PrunedEnvironments, (sqlkit.Micros(before) + record.DayMicros - 1) / record.DayMicros}})
		if err := tx.ExecAll(ctx, all); err != nil {
			return err
		}
		tx.Name(unnamed, ids...)
		p.Count, p.More = len(ids), len(ids) == most
		return nil
	})
	return p, err
}

// PruneEntries removes summed entries from before the day of a moment, and the spend of periods that ended before it. Entries of
// environments that are live or were destroyed later stay.
func (r *Pruner) PruneEntries(ctx context.Context, before time.Time, most int) (p Pruned, err error) {
	midnight := before.UTC().Truncate(24 * time.Hour)
	err = r.db.InTx(ctx, "prune entries", func(tx *txn.Tx) error {
		p = Pruned{}
		var summed int64
		if err := tx.QueryRowContext(ctx, record.ReadCounter, record.SummedEntries).Scan(&summed); err != nil {
			return err
		}
		// From now on reports read the sums of those days, whatever remains of their entries.
		if _, err := tx.ExecContext(ctx, record.RaiseCounter, record.PrunedEntries, sqlkit.Micros(midnight)/record.DayMicros); err != nil {
			return err
		}
		n, err := tx.Count(ctx, "DELETE FROM entries WHERE seq IN (SELECT seq FROM entries AS r WHERE "+record.EntryMoment+" < $1 AND seq <= $2 AND "+ofGone+
			" ORDER BY "+record.EntryMoment+", seq LIMIT $3)", sqlkit.Micros(midnight), summed, most)
		if err != nil {
			return err
		}
		p.Count, p.More = n, n == most
		if p.More {
			return nil
		}
		// Days and months sort as text. Amounts still held of a period stay.
		date, month := record.PeriodsOf(midnight)
		const ended = `DELETE FROM spend WHERE held_micros = 0 AND held_time = 0
			AND (LENGTH(period) = 10 AND period < $1 OR LENGTH(period) = 7 AND period < $2)`
		_, err = tx.ExecContext(ctx, ended, date, month)
		return err
	})
	return p, err
}

// PruneReceipts removes the oldest receipts, from before a moment, but never the newest, which the next one follows. The rest is still a
// chain, whose first receipt has the hash of the last removed one.
func (r *Pruner) PruneReceipts(ctx context.Context, before time.Time, most int) (p Pruned, err error) {
	err = r.db.InTx(ctx, "prune receipts", func(tx *txn.Tx) error {
		p = Pruned{}
		const oldest = `SELECT seq, at FROM receipts WHERE seq < (SELECT value FROM counters WHERE name = 'receipts') ORDER BY seq LIMIT $1`
		rows, err := tx.QueryContext(ctx, oldest, most)
		if err != nil {
			return err
		}
		all, err := sqlkit.Collect(rows, func(row sqlkit.Scanner) (r [2]int64, err error) {
			err = row.Scan(&r[0], &r[1])
			return r, err
		})
		if err != nil {
			return err
		}
		var last int64
		for _, r := range all {
			if r[1] >= sqlkit.Micros(before) {
				break // one that is not due keeps all later ones
			}
			last = r[0]
			p.Count++
		}
		if p.Count == 0 {
			return nil
		}
		p.More = p.Count == most
		return tx.ExecAll(ctx, []sqlkit.Statement{
			{Text: "DELETE FROM receipts WHERE seq <= $1", Args: []any{last}}, {Text: record.RaiseCounter, Args: []any{record.PrunedReceipts, last}},
		})
	})
	return p, err
}
