// Package billing reports what time has cost: the entries of the ledger, and the sums of closed days.
package billing

import (
	"context"
	"time"

	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store/record"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// Ledger reads the ledger. Its entries are written with the changes that cause them (package store).
type Ledger struct{ db *txn.DB }

// New returns the ledger of a database.
func New(db *txn.DB) *Ledger { return &Ledger{db} }

// EntryFilter selects cost entries. Empty fields select all.
type EntryFilter struct {
	EnvironmentID, Tenant string
	// Since (inclusive) and Until (exclusive) bound Entry.Until of charged time, and At of amounts held and released.
	Since, Until time.Time
	// After excludes entries up to this number; Limit 0 means no limit.
	After int64
	Limit int
}

// Entries returns all entries of an environment, in order.
func (l *Ledger) Entries(ctx context.Context, environmentID string) ([]ledger.Entry, error) {
	if environmentID == "" {
		return nil, nil
	}
	return l.EntriesBy(ctx, EntryFilter{EnvironmentID: environmentID})
}

// EntriesBy returns entries, in order.
func (l *Ledger) EntriesBy(ctx context.Context, f EntryFilter) ([]ledger.Entry, error) {
	var where sqlkit.Where
	where.Add("seq > ?", f.After)
	if f.EnvironmentID != "" {
		where.Add("environment_id = ?", f.EnvironmentID)
	}
	if f.Tenant != "" {
		where.Add("tenant = ?", f.Tenant)
	}
	if !f.Since.IsZero() {
		where.Add(record.EntryMoment+" >= ?", sqlkit.Micros(f.Since))
	}
	if !f.Until.IsZero() {
		where.Add(record.EntryMoment+" < ?", sqlkit.Micros(f.Until))
	}
	query := "SELECT " + record.EntryColumns + " FROM entries " + where.Text() + " ORDER BY seq"
	if f.Limit > 0 {
		query += " LIMIT " + where.Next()
		where.Args = append(where.Args, f.Limit)
	}
	rows, err := l.db.Read.QueryContext(ctx, query, where.Args...)
	if err != nil {
		return nil, l.db.Fault(ctx, "read entries", err)
	}
	entries, err := sqlkit.Collect(rows, record.ScanEntry)
	return entries, l.db.Fault(ctx, "read entries", err)
}
