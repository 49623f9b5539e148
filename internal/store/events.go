package store

import (
	"context"
	"slices"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/record"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// EventFilter selects events. Empty fields select all.
type EventFilter struct {
	EnvironmentID, Pool, Host, Tenant string
	// After excludes events up to this number.
	After int64
	// Limit 0 means DefaultLimit, at most MaxLimit.
	Limit int
	// Newest selects the newest events when there are more than Limit; they are returned oldest first all the same.
	Newest bool
}

// Matches reports whether the filter selects an event, regardless of the limit.
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

// Events returns up to limit events of one environment, or of all (""), after a sequence number, in order. Limit 0 means DefaultLimit, at
// most MaxLimit.
func (l *EventLog) Events(ctx context.Context, environmentID string, after int64, limit int) ([]fleet.Event, error) {
	return l.EventsBy(ctx, EventFilter{EnvironmentID: environmentID, After: after, Limit: limit})
}

// EventsBy returns events after a number, in order. Numbers rise in the order of commits: an event that appears later has a higher one.
func (l *EventLog) EventsBy(ctx context.Context, f EventFilter) ([]fleet.Event, error) {
	var where sqlkit.Where
	where.Add("seq > ?", f.After)
	for _, c := range []struct{ column, value string }{
		{"environment_id", f.EnvironmentID}, {"pool", f.Pool}, {"host", f.Host}, {"tenant", f.Tenant},
	} {
		if c.value != "" {
			// The redundant condition lets the database use the partial indexes of pools and hosts.
			where.Add(c.column+" = ? AND "+c.column+" <> ''", c.value)
		}
	}
	order := "ASC"
	if f.Newest {
		order = "DESC"
	}
	query := "SELECT " + record.EventColumns + " FROM events " + where.Text() + " ORDER BY seq " + order + " LIMIT " + where.Next()
	rows, err := l.db.Read.QueryContext(ctx, query, append(where.Args, sqlkit.PageSize(f.Limit, DefaultLimit, MaxLimit))...)
	if err != nil {
		return nil, l.db.Fault(ctx, "read events", err)
	}
	events, err := sqlkit.Collect(rows, record.ScanEvent)
	if f.Newest {
		slices.Reverse(events)
	}
	return events, l.db.Fault(ctx, "read events", err)
}

// AppendEvents records events that come without a change of an environment.
func (l *EventLog) AppendEvents(ctx context.Context, events ...fleet.Event) error {
	if len(events) == 0 {
		return nil
	}
	return l.db.InTx(ctx, "record events", func(tx *txn.Tx) error { return tx.AppendEvents(ctx, events...) })
}
