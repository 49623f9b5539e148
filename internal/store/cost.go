package store

import (
	"context"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
)

// EntryFilter selects cost entries. Empty fields select all.
type EntryFilter struct {
	EnvironmentID, Tenant string
	// Since (included) and Until (not included) bound Entry.Until of charged time, and At of what was held and given back.
	Since, Until time.Time
	// After leaves out entries up to this number; Limit 0 means no limit.
	After int64
	Limit int
}

// entryColumns are bound to their places in an Entry by entryFields.
const entryColumns = `seq, at, environment_id, tenant, team, owner, project, pull_request, pool, blueprint, size, host,
	debit, credit, from_at, until_at, rate_micros, amount_micros, currency`

// entryMoment is what entries_moment is made of.
const entryMoment = "(CASE WHEN until_at > 0 THEN until_at ELSE at END)"

func entryFields(e *ledger.Entry) []any {
	return []any{
		&e.Seq, sqlkit.Time(&e.At), &e.EnvironmentID, &e.Tenant, &e.Team, &e.Owner, &e.Project, &e.PullRequest,
		&e.Pool, &e.Blueprint, &e.Size, &e.Host, &e.Debit, &e.Credit, sqlkit.Time(&e.From), sqlkit.Time(&e.Until),
		&e.RateMicros, &e.AmountMicros, &e.Currency,
	}
}

func scanEntry(row sqlkit.Scanner) (e ledger.Entry, err error) {
	err = row.Scan(entryFields(&e)...)
	return e, err
}

// Entries gives all cost entries of an environment, in order.
func (s *Store) Entries(ctx context.Context, environmentID string) ([]ledger.Entry, error) {
	if environmentID == "" {
		return nil, nil
	}
	return s.EntriesBy(ctx, EntryFilter{EnvironmentID: environmentID})
}

// EntriesBy gives entries, in order.
func (s *Store) EntriesBy(ctx context.Context, f EntryFilter) ([]ledger.Entry, error) {
	var where conditions
	where.add("seq > ?", f.After)
	if f.EnvironmentID != "" {
		where.add("environment_id = ?", f.EnvironmentID)
	}
	if f.Tenant != "" {
		where.add("tenant = ?", f.Tenant)
	}
	if !f.Since.IsZero() {
		where.add(entryMoment+" >= ?", sqlkit.Micros(f.Since))
	}
	if !f.Until.IsZero() {
		where.add(entryMoment+" < ?", sqlkit.Micros(f.Until))
	}
	query := "SELECT " + entryColumns + " FROM entries " + where.text() + " ORDER BY seq"
	if f.Limit > 0 {
		where.args = append(where.args, f.Limit)
		query += " LIMIT " + sqlkit.Placeholders(len(where.args), 1)
	}
	rows, err := s.db.Read.QueryContext(ctx, query, where.args...)
	if err != nil {
		return nil, s.db.Fault(ctx, "read entries", err)
	}
	entries, err := sqlkit.Collect(rows, scanEntry)
	return entries, s.db.Fault(ctx, "read entries", err)
}

// entryRows gives entries, each with its place for its number.
func entryRows(entries []ledger.Entry) [][]any {
	rows := make([][]any, len(entries))
	for i, e := range entries {
		e.Seq = placeFromLast(i, len(entries))
		rows[i] = entryFields(&e)
	}
	return rows
}

// keptEstimates is how many of the newest estimates are looked at.
const keptEstimates = 200

func keepEstimate(ctx context.Context, tx *txn, env *fleet.Environment, off time.Duration) error {
	const write = `INSERT INTO estimates (environment_id, at, off_nanos) VALUES ($1, $2, $3)
		ON CONFLICT (environment_id) DO UPDATE SET at = excluded.at, off_nanos = excluded.off_nanos`
	_, err := tx.ExecContext(ctx, write, env.ID, sqlkit.Micros(env.UpdatedAt), int64(off.Abs()))
	return err
}

// Estimates tells how good the estimates of the last 200 requests that waited were.
func (s *Store) Estimates(ctx context.Context) (fleet.Estimate, error) {
	const query = "SELECT off_nanos FROM estimates ORDER BY at DESC, environment_id LIMIT $1"
	rows, err := s.db.Read.QueryContext(ctx, query, keptEstimates)
	if err != nil {
		return fleet.Estimate{}, s.db.Fault(ctx, "read estimates", err)
	}
	offs, err := sqlkit.Collect(rows, func(row sqlkit.Scanner) (off time.Duration, err error) {
		err = row.Scan((*int64)(&off))
		return off, err
	})
	if err != nil || len(offs) == 0 {
		return fleet.Estimate{}, s.db.Fault(ctx, "read estimates", err)
	}
	slices.Sort(offs)
	// The nearest that the share does not exceed: of one value it is that value.
	at := func(percent int) time.Duration { return offs[(len(offs)*percent+99)/100-1] }
	return fleet.Estimate{Count: len(offs), Median: at(50), P90: at(90)}, nil
}
