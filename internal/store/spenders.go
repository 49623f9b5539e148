package store

import (
	"context"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/record"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
)

// Spenders returns what counts in a scope's limit of money, or of leased time, for requests admitted within a period: the live
// environments that hold the most, and the users whose destroyed environments settled the most, up to most of each.
func (t *QuotaTable) Spenders(
	ctx context.Context, scope fleet.Scope, from, until time.Time, ofMoney bool, most int,
) (live []fleet.Environment, gone []fleet.Spent, err error) {
	held, settled := "held_for", settledTime
	if ofMoney {
		held, settled = "held_micros", settledMicros
	}
	where := inScope(scope, "")
	where.Add("state <> 'destroyed'")
	where.Add("held_at >= ? AND held_at < ?", sqlkit.Micros(from), sqlkit.Micros(until))
	where.Add(held + " > 0")
	query := where.Text() + " ORDER BY " + held + " DESC, created_at, id LIMIT " + where.Next()
	if live, err = t.db.Environments(ctx, "read who spends", query, append(where.Args, most)...); err != nil {
		return nil, nil, err
	}

	where = inScope(scope, "v.")
	where.Add("v.held_at >= ? AND v.held_at < ?", sqlkit.Micros(from), sqlkit.Micros(until))
	// An entry's time follows its request, so entries before the period cannot count.
	where.Add(record.EntryMoment+" >= ?", sqlkit.Micros(from))
	query = "SELECT owner, CAST(SUM(" + settledMicros + ") AS BIGINT), CAST(SUM(" + settledTime + ") AS BIGINT) FROM (" +
		goneCosts + where.And() + " GROUP BY v.id) AS gone WHERE " + settled + " > 0 GROUP BY owner ORDER BY SUM(" + settled + `) DESC, owner
		LIMIT ` + where.Next()
	rows, err := t.db.Read.QueryContext(ctx, query, append(where.Args, most)...)
	if err != nil {
		return nil, nil, t.db.Fault(ctx, "read who spent", err)
	}
	gone, err = sqlkit.Collect(rows, func(row sqlkit.Scanner) (one fleet.Spent, err error) {
		err = row.Scan(&one.Owner, &one.Micros, (*int64)(&one.Time))
		one.Time *= time.Microsecond
		return one, err
	})
	return live, gone, t.db.Fault(ctx, "read who spent", err)
}

// inScope selects the rows of a scope; the columns have a prefix.
func inScope(scope fleet.Scope, prefix string) *sqlkit.Where {
	var where sqlkit.Where
	where.Add(prefix+"tenant = ?", scope.Tenant)
	switch scope.Kind {
	case fleet.ScopeTeam:
		where.Add(prefix+"team = ?", scope.Name)
	case fleet.ScopeUser:
		where.Add(prefix+"owner = ?", scope.Name)
	}
	return &where
}
