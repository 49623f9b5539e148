package store

import (
	"context"
	"database/sql"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
)

// Events gives up to limit events after a sequence number, in order, of one
// environment or of all ("").  limit 0 means DefaultLimit, at most MaxLimit.
// Numbers rise in the order of commits: an event that shows up later has a higher one.
func (s *Store) Events(ctx context.Context, environmentID string, after int64, limit int) ([]fleet.Event, error) {
	where := conditions{}
	where.add("seq > ?", after)
	if environmentID != "" {
		where.add("environment_id = ?", environmentID)
	}
	query := "SELECT seq, at, environment_id, kind, message, actor FROM events " + where.text() + " ORDER BY seq LIMIT " +
		placeholders(len(where.args)+1, 1)
	rows, err := s.read.QueryContext(ctx, query, append(where.args, bounded(limit, DefaultLimit, MaxLimit))...)
	if err != nil {
		return nil, s.fault(ctx, "read events", err)
	}
	events, err := collect(rows, func(row scanner) (e fleet.Event, err error) {
		err = row.Scan(&e.Seq, timeField{&e.At}, &e.EnvironmentID, &e.Kind, &e.Message, &e.Actor)
		return e, err
	})
	return events, s.fault(ctx, "read events", err)
}

// Entries gives all cost entries of an environment, in order.
func (s *Store) Entries(ctx context.Context, environmentID string) ([]ledger.Entry, error) {
	const query = `SELECT seq, at, environment_id, owner, blueprint, account, from_at, until_at, amount_micros, currency
		FROM entries WHERE environment_id = $1 ORDER BY seq`
	rows, err := s.read.QueryContext(ctx, query, environmentID)
	if err != nil {
		return nil, s.fault(ctx, "read entries", err)
	}
	entries, err := collect(rows, func(row scanner) (e ledger.Entry, err error) {
		err = row.Scan(&e.Seq, timeField{&e.At}, &e.EnvironmentID, &e.Owner, &e.Blueprint, &e.Account,
			timeField{&e.From}, timeField{&e.Until}, &e.AmountMicros, &e.Currency)
		return e, err
	})
	return entries, s.fault(ctx, "read entries", err)
}

func appendEvents(ctx context.Context, tx *sql.Tx, id string, events []fleet.Event) error {
	const insert = "INSERT INTO events (seq, at, environment_id, kind, message, actor) VALUES ($1, $2, $3, $4, $5, $6)"
	seq, err := number(ctx, tx, "events", len(events))
	if err != nil {
		return err
	}
	for i, e := range events {
		if _, err := tx.ExecContext(ctx, insert, seq+int64(i), micros(e.At), id, e.Kind, prose(e.Message), e.Actor); err != nil {
			return err
		}
	}
	return nil
}

func appendEntries(ctx context.Context, tx *sql.Tx, id string, entries []ledger.Entry) error {
	const insert = `INSERT INTO entries
		(seq, at, environment_id, owner, blueprint, account, from_at, until_at, amount_micros, currency)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`
	seq, err := number(ctx, tx, "entries", len(entries))
	if err != nil {
		return err
	}
	for i, e := range entries {
		if _, err := tx.ExecContext(ctx, insert, seq+int64(i), micros(e.At), id, e.Owner, e.Blueprint, e.Account,
			micros(e.From), micros(e.Until), e.AmountMicros, e.Currency); err != nil {
			return err
		}
	}
	return nil
}

// number takes n numbers of a record and gives the first.
func number(ctx context.Context, tx *sql.Tx, record string, n int) (int64, error) {
	if n == 0 {
		return 0, nil
	}
	var last int64
	const update = "UPDATE counters SET value = value + $1 WHERE name = $2 RETURNING value"
	err := tx.QueryRowContext(ctx, update, n, record).Scan(&last)
	return last - int64(n) + 1, err
}
