package store

import (
	"context"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/store/sqlkit"
)

// What is kept for a time only is removed here, by the leader (engine/retention.go): the oldest first, at most so much in one
// transaction. Nothing that belongs to a live environment is removed, and nothing that sums and chains still need.

// Pruned is what came of one step.
type Pruned struct {
	// Count is how many were removed.
	Count int
	// After is where the next step goes on.
	After int64
	// More says that there may be more to remove now.
	More bool
}

// ofGone selects records of environments that are not there, or ended before a moment; the record's table is r, the moment $1.
const ofGone = `NOT EXISTS (SELECT 1 FROM environments AS v WHERE v.id = r.environment_id AND (v.state <> 'destroyed' OR v.destroyed_at >= $1))`

// PruneEvents removes events of before a moment, of those after a number. Those of an environment that lives, or has ended since, stay.
func (s *Store) PruneEvents(ctx context.Context, before time.Time, after int64, most int) (p Pruned, err error) {
	err = s.inTx(ctx, "prune events", func(tx *txn) error {
		p = Pruned{After: after}
		// Numbers and times rise together, but for a clock that was set back: what is behind such an event waits until it is due.
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
		n, err := tx.count(ctx, "DELETE FROM events WHERE seq IN (SELECT seq FROM events AS r WHERE seq > $2 AND seq <= $3 AND "+ofGone+")",
			sqlkit.Micros(before), after, last)
		p.Count, p.After = n, last
		return err
	})
	return p, err
}

// count runs a statement and gives how many rows it changed.
func (t *txn) count(ctx context.Context, query string, args ...any) (int, error) {
	result, err := t.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// PruneLogs removes the lines of the log of one environment that ended before a moment, of those that ended at another or later, in
// microseconds.
func (s *Store) PruneLogs(ctx context.Context, before time.Time, from int64, most int) (p Pruned, err error) {
	err = s.inTx(ctx, "prune logs", func(tx *txn) error {
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
		p.Count, err = tx.count(ctx, remove, found[0], int64(most))
		return err
	})
	return p, err
}

// environmentParts are the tables with parts of an environment's row.
var environmentParts = []string{"terraform_states", "secrets", "objects", "estimates"}

// PruneEnvironments removes the rows of environments that ended before a moment, with the idempotency keys that are theirs, once their
// logs are pruned.
func (s *Store) PruneEnvironments(ctx context.Context, before time.Time, most int) (p Pruned, err error) {
	err = s.inTx(ctx, "prune environments", func(tx *txn) error {
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
			all = append(all, sqlkit.Statement{Text: "DELETE FROM " + table + " WHERE environment_id IN " + these, Args: list(ids)})
		}
		unnamed := tx.changed.unnamed
		all = append(all,
			sqlkit.Statement{Text: "DELETE FROM environments WHERE id IN " + these, Args: list(ids)},
			sqlkit.Statement{Text: writeCounter, Args: []any{prunedEnvironments, (sqlkit.Micros(before) + day - 1) / day}})
		if err := tx.ExecAll(ctx, all); err != nil {
			return err
		}
		tx.changed.name(unnamed, ids...)
		p.Count, p.More = len(ids), len(ids) == most
		return nil
	})
	return p, err
}

// PruneEntries removes entries of time before the day of a moment once they are summed, and the spend of periods that ended before it.
// Entries of environments that live, or have ended since, stay.
func (s *Store) PruneEntries(ctx context.Context, before time.Time, most int) (p Pruned, err error) {
	midnight := before.UTC().Truncate(24 * time.Hour)
	err = s.inTx(ctx, "prune entries", func(tx *txn) error {
		p = Pruned{}
		var summed int64
		if err := tx.QueryRowContext(ctx, readCounter, summedCounter).Scan(&summed); err != nil {
			return err
		}
		// From now on reports read the sums of those days, whatever is left of their entries.
		if _, err := tx.ExecContext(ctx, writeCounter, prunedEntries, sqlkit.Micros(midnight)/day); err != nil {
			return err
		}
		n, err := tx.count(ctx, "DELETE FROM entries WHERE seq IN (SELECT seq FROM entries AS r WHERE "+entryMoment+" < $1 AND seq <= $2 AND "+ofGone+
			" ORDER BY "+entryMoment+", seq LIMIT $3)", sqlkit.Micros(midnight), summed, most)
		if err != nil {
			return err
		}
		p.Count, p.More = n, n == most
		if p.More {
			return nil
		}
		// Days and months sort as texts. What is held of one goes on.
		date, month := periodsOf(midnight)
		const ended = `DELETE FROM spend WHERE held_micros = 0 AND held_time = 0
			AND (LENGTH(period) = 10 AND period < $1 OR LENGTH(period) = 7 AND period < $2)`
		_, err = tx.ExecContext(ctx, ended, date, month)
		return err
	})
	return p, err
}

// PruneReceipts removes the oldest receipts, those of before a moment, and never the newest, which the next one follows. What is left
// is a chain, whose first receipt names the hash of the last one that was removed.
func (s *Store) PruneReceipts(ctx context.Context, before time.Time, most int) (p Pruned, err error) {
	err = s.inTx(ctx, "prune receipts", func(tx *txn) error {
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
				break // one that is not due keeps all after it
			}
			last = r[0]
			p.Count++
		}
		if p.Count == 0 {
			return nil
		}
		p.More = p.Count == most
		return tx.ExecAll(ctx, []sqlkit.Statement{
			{Text: "DELETE FROM receipts WHERE seq <= $1", Args: []any{last}}, {Text: writeCounter, Args: []any{prunedReceipts, last}},
		})
	})
	return p, err
}

// prunedDays gives the moment before which rows or entries of what was spent may be gone.
func (s *Store) prunedDays(ctx context.Context) (time.Time, error) {
	var days int64
	err := s.db.Read.QueryRowContext(ctx, "SELECT MAX(value) FROM counters WHERE name IN ($1, $2)", prunedEntries, prunedEnvironments).Scan(&days)
	return time.UnixMicro(days * day).UTC(), err
}

// begins gives the first moment of a period of spend.
func (p period) begins() (time.Time, error) {
	layout := time.DateOnly
	if strings.Count(p.of, "-") == 1 {
		layout = "2006-01"
	}
	return time.Parse(layout, p.of)
}
