package store

import (
	"context"
	"slices"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
)

// EventFilter selects events. Empty fields select all.
type EventFilter struct {
	EnvironmentID, Pool, Host, Tenant string
	// After leaves out events up to this number.
	After int64
	// Limit 0 means DefaultLimit, at most MaxLimit.
	Limit int
	// Newest says that, of more than Limit, the newest are wanted; they come oldest first all the same.
	Newest bool
}

// Matches reports whether an event is among those that a filter selects, its limit left out.
func (f EventFilter) Matches(e fleet.Event) bool {
	if e.Seq <= f.After {
		return false
	}
	for _, c := range []struct{ wanted, is string }{
		{f.EnvironmentID, e.EnvironmentID}, {f.Pool, e.Pool}, {f.Host, e.Host}, {f.Tenant, e.Tenant},
	} {
		if c.wanted != "" && c.wanted != c.is {
			return false
		}
	}
	return true
}

const eventColumns = "seq, at, environment_id, pool, host, tenant, team, owner, kind, message, data, actor"

func eventFields(e *fleet.Event) []any {
	return []any{
		&e.Seq, sqlkit.Time(&e.At), &e.EnvironmentID, &e.Pool, &e.Host, &e.Tenant, &e.Team, &e.User,
		&e.Kind, sqlkit.Text(&e.Message), (*string)(&e.Data), &e.Actor,
	}
}

// Events gives up to limit events after a sequence number, in order, of one
// environment or of all ("").  limit 0 means DefaultLimit, at most MaxLimit.
func (s *Store) Events(ctx context.Context, environmentID string, after int64, limit int) ([]fleet.Event, error) {
	return s.EventsBy(ctx, EventFilter{EnvironmentID: environmentID, After: after, Limit: limit})
}

// EventsBy gives events after a number, in order. Numbers rise in the order of
// commits: an event that shows up later has a higher one.
func (s *Store) EventsBy(ctx context.Context, f EventFilter) ([]fleet.Event, error) {
	var where conditions
	where.add("seq > ?", f.After)
	for _, c := range []struct{ column, value string }{
		{"environment_id", f.EnvironmentID}, {"pool", f.Pool}, {"host", f.Host}, {"tenant", f.Tenant},
	} {
		if c.value != "" {
			// That it is not empty is what the indexes of pools and hosts want to be told.
			where.add(c.column+" = ? AND "+c.column+" <> ''", c.value)
		}
	}
	order := "ASC"
	if f.Newest {
		order = "DESC"
	}
	query := "SELECT " + eventColumns + " FROM events " + where.text() + " ORDER BY seq " + order + " LIMIT " + sqlkit.Placeholders(len(where.args)+1, 1)
	rows, err := s.db.Read.QueryContext(ctx, query, append(where.args, bounded(f.Limit, DefaultLimit, MaxLimit))...)
	if err != nil {
		return nil, s.db.Fault(ctx, "read events", err)
	}
	events, err := sqlkit.Collect(rows, func(row sqlkit.Scanner) (e fleet.Event, err error) {
		err = row.Scan(eventFields(&e)...)
		return e, err
	})
	if f.Newest {
		slices.Reverse(events)
	}
	return events, s.db.Fault(ctx, "read events", err)
}

// AppendEvents records decisions that change no row of an environment.
func (s *Store) AppendEvents(ctx context.Context, events ...fleet.Event) error {
	if len(events) == 0 {
		return nil
	}
	return s.inTx(ctx, "record events", func(tx *txn) error { return recordEvents(ctx, tx, events) })
}

const readMarks = `SELECT (SELECT value FROM counters WHERE name = 'events'), (SELECT value FROM counters WHERE name = 'receipts')`

// Marks gives the highest numbers of the records: what a restored database would be behind of.
func (s *Store) Marks(ctx context.Context) (events, receipts int64, err error) {
	err = s.db.Read.QueryRowContext(ctx, readMarks).Scan(&events, &receipts)
	return events, receipts, s.db.Fault(ctx, "read marks", err)
}

// recordEvents writes events that come with no change of a row.
func recordEvents(ctx context.Context, tx *txn, events []fleet.Event) error {
	b := batch{events: events}
	return b.flush(ctx, tx)
}

// eventRows gives events, each with its place for its number.
func eventRows(events []fleet.Event) ([][]any, error) {
	rows := make([][]any, len(events))
	for i, e := range events {
		if err := e.Data.Check(); err != nil {
			return nil, fleet.Errorf(fleet.CodeInternal, "record event %s: %w", e.Kind, err)
		}
		e.Seq = placeFromLast(i, len(events))
		rows[i] = eventFields(&e)
	}
	return rows, nil
}
