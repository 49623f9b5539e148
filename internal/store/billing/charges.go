package billing

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store/record"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
)

// ChargeFilter selects charges. Empty fields select all.
type ChargeFilter struct {
	Tenant string
	// Since and Until bound the period.
	Since, Until time.Time
	// By is a group of ledger.Group; charges of different groups are kept apart.
	By string
}

// Charges is what time has cost, read at one moment.
type Charges struct {
	// Since and Until are those of the filter. If one falls within a day whose entries are pruned, it moves to the start or end of that
	// day.
	Since, Until time.Time
	// Totals and Entries are the booked charges, none of them twice. Entries may reach beyond the period.
	Totals  []ledger.Total
	Entries []ledger.Entry
	// Live are the environments that may have open charges.
	Live []fleet.Environment
}

// Charges returns what time has cost: the sums of whole days, and the entries that are not summed or fall only partly into the period.
// Charges of days whose entries are pruned cannot be split by environment.
func (l *Ledger) Charges(ctx context.Context, f ChargeFilter) (c Charges, err error) {
	// Everything is read at one moment: between two reads, an entry could be booked, summed or pruned.
	tx, err := l.db.Read.BeginTx(ctx, l.snapshotOptions())
	if err != nil {
		return c, l.db.Fault(ctx, "read charges", err)
	}
	defer func() { _ = tx.Rollback() }() // read-only
	r := chargeReader{ctx: ctx, tx: tx, f: f}
	c, err = r.read()
	return c, l.db.Fault(ctx, "read charges", err)
}

// snapshotOptions are the options of a transaction that reads a consistent snapshot. SQLite's transactions do by default.
func (l *Ledger) snapshotOptions() *sql.TxOptions {
	if !l.db.Shared() {
		return &sql.TxOptions{ReadOnly: true}
	}
	return &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}
}

// chargeReader reads charges within a transaction.
type chargeReader struct {
	ctx context.Context
	tx  *sql.Tx
	f   ChargeFilter
	// summed is the number of the last summed entry; pruned is the moment before which entries are gone.
	summed, pruned int64
	// since and until bound the period, in microseconds.
	since, until int64
}

func (r *chargeReader) read() (c Charges, err error) {
	if err := r.tx.QueryRowContext(r.ctx, record.ReadCounter, record.SummedEntries).Scan(&r.summed); err != nil {
		return c, err
	}
	if err := r.tx.QueryRowContext(r.ctx, record.ReadCounter, record.PrunedEntries).Scan(&r.pruned); err != nil {
		return c, err
	}
	r.pruned *= day
	c.Since, c.Until = r.window()
	if c.Live, err = r.live(); err != nil {
		return c, err
	}
	if c.Totals, err = r.totals(); err != nil {
		return c, err
	}
	c.Entries, err = r.entries()
	return c, err
}

// window sets the bounds of the period, and returns them as the filter does.
func (r *chargeReader) window() (since, until time.Time) {
	since, until = r.f.Since, r.f.Until
	r.until = math.MaxInt64
	if !since.IsZero() {
		if r.since = sqlkit.Micros(since); r.since < r.pruned && r.since%day != 0 {
			r.since -= r.since % day
			since = time.UnixMicro(r.since).UTC()
		}
	}
	if !until.IsZero() {
		if r.until = sqlkit.Micros(until); r.until < r.pruned && r.until%day != 0 {
			r.until += day - r.until%day
			until = time.UnixMicro(r.until).UTC()
		}
	}
	return since, until
}

func (r *chargeReader) live() ([]fleet.Environment, error) {
	query, args := record.SelectEnvs+"WHERE state <> 'destroyed'", []any(nil)
	if r.f.Tenant != "" {
		query, args = query+" AND tenant = $1", []any{r.f.Tenant}
	}
	rows, err := r.tx.QueryContext(r.ctx, query+" ORDER BY id", args...)
	if err != nil {
		return nil, err
	}
	return sqlkit.Collect(rows, record.EnvScanner())
}

// groupColumns are the columns of sums for each group.
var groupColumns = map[string][]string{
	"": nil, "tenant": {"tenant"}, "team": {"tenant", "team"}, "user": {"tenant", "owner"}, "project": {"tenant", "project"},
	"pull-request": {"tenant", "project", "pull_request"}, "pool": {"pool"}, "blueprint": {"blueprint"}, "host": {"host"}, "day": {"day"},
	"environment": nil,
}

// days returns the whole days of the period, as numbers: from first up to but not including end.
func (r *chargeReader) days() (first, end int64) {
	first, end = (r.since+day-1)/day, r.until/day
	return first, max(first, end)
}

// totals returns the sums of whole days and, by environment, also the totals of entries that fall wholly into the period.
func (r *chargeReader) totals() ([]ledger.Total, error) {
	columns, known := groupColumns[r.f.By]
	if !known {
		return nil, fleet.Errorf(fleet.CodeInvalid, "cost cannot be grouped by %q", r.f.By)
	}
	first, end := r.days()
	if r.f.By == "environment" {
		// Earlier days have only sums; later days have all entries.
		end = min(end, max(first, r.pruned/day))
	}
	var where sqlkit.Where
	where.Add("day >= ? AND day < ?", first, end)
	if r.f.Tenant != "" {
		where.Add("tenant = ?", r.f.Tenant)
	}
	all, err := r.add(columns, "sums", "CAST(SUM("+largestApart+") AS BIGINT), CAST(SUM(time_micros) AS BIGINT), MAX(amount_micros)", &where)
	if err != nil || r.f.By != "environment" {
		return all, err
	}
	where = sqlkit.Where{}
	where.Add("seq <= ? AND from_at >= ? AND until_at <= ?", r.summed, max(r.since, r.pruned), r.until)
	where.Add(ofTime + " AND " + notLarge)
	if r.f.Tenant != "" {
		where.Add("tenant = ?", r.f.Tenant)
	}
	more, err := r.add([]string{"environment_id"}, "entries", sumOfEntries+", 0", &where)
	return append(all, more...), err
}

// largestApart excludes from a sum what could overflow it; add detects that by the maximum.
const largestApart = "CASE WHEN amount_micros > 4611686018427387903 THEN 0 ELSE amount_micros END"

// add adds up rows by columns, account and currency.
func (r *chargeReader) add(columns []string, from, sums string, where *sqlkit.Where) ([]ledger.Total, error) {
	columns = slices.Concat(columns, []string{"debit", "currency"})
	list := strings.Join(columns, ", ")
	rows, err := r.tx.QueryContext(r.ctx, "SELECT "+list+", "+sums+" FROM "+from+" "+where.Text()+" GROUP BY "+list+" ORDER BY "+list, where.Args...)
	if err != nil {
		return nil, err
	}
	return sqlkit.Collect(rows, func(row sqlkit.Scanner) (t ledger.Total, err error) {
		var number, largest int64
		places := map[string]any{
			"day": &number, "tenant": &t.Tenant, "team": &t.Team, "owner": &t.Owner, "project": &t.Project, "pull_request": &t.PullRequest,
			"pool": &t.Pool, "blueprint": &t.Blueprint, "host": &t.Host, "debit": &t.Debit, "currency": &t.Currency,
			"environment_id": &t.EnvironmentID,
		}
		dest := make([]any, 0, len(columns)+3)
		for _, c := range columns {
			dest = append(dest, places[c])
		}
		err = row.Scan(append(dest, &t.AmountMicros, &t.TimeMicros, &largest)...)
		t.Day = time.UnixMicro(number * day).UTC()
		if largest > math.MaxInt64/2 {
			t.AmountMicros = math.MaxInt64
		}
		return t, err
	})
}

// entries returns the entries that are not summed, and the summed ones that fall partly into the period.
func (r *chargeReader) entries() ([]ledger.Entry, error) {
	all, err := r.selected("seq > ?", r.summed)
	if err != nil {
		return nil, err
	}
	if r.f.By == "environment" {
		return r.cutByEnvironment(all)
	}
	first, end := r.days()
	for _, part := range r.edges(first, end) {
		cut, err := r.within(part[0], part[1])
		if err != nil {
			return nil, err
		}
		all = append(all, cut...)
	}
	return all, nil
}

// edges are the parts of the period that are not whole days, each within one day.
func (r *chargeReader) edges(first, end int64) (parts [][2]int64) {
	if r.since >= r.until {
		return nil
	}
	if from := r.since; from%day != 0 {
		parts = append(parts, [2]int64{from, min(r.until, first*day)})
	}
	if r.until != math.MaxInt64 && r.until%day != 0 && r.until/day >= first {
		parts = append(parts, [2]int64{max(r.since, end*day), r.until})
	}
	return parts
}

// within returns the parts of summed entries that fall into a part of a day.
func (r *chargeReader) within(from, until int64) ([]ledger.Entry, error) {
	midnight := from - from%day + day
	// Entries that end within the day are found by their end; there are few others.
	ending, err := r.selected("seq <= ? AND "+record.EntryMoment+" > ? AND "+record.EntryMoment+" <= ? AND from_at < ? AND "+ofTime, r.summed, from, midnight, until)
	if err != nil {
		return nil, err
	}
	longer, err := r.selected("seq <= ? AND "+ofDays+" AND until_at > ? AND from_at < ? AND "+ofTime, r.summed, midnight, until)
	if err != nil {
		return nil, err
	}
	return clipped(append(ending, longer...), from, until), nil
}

// cutByEnvironment adds the entries that reach beyond the period in which entries exist, and those that the database does not add up.
func (r *chargeReader) cutByEnvironment(all []ledger.Entry) ([]ledger.Entry, error) {
	from := max(r.since, r.pruned)
	if from >= r.until {
		return all, nil
	}
	partly := map[int64]ledger.Entry{}
	for _, at := range []int64{from, r.until} {
		if at == math.MaxInt64 || at == 0 {
			continue
		}
		midnight := at - at%day + day
		ending, err := r.selected("seq <= ? AND "+record.EntryMoment+" > ? AND "+record.EntryMoment+" <= ? AND from_at < ? AND "+ofTime, r.summed, at, midnight, at)
		if err != nil {
			return nil, err
		}
		longer, err := r.selected("seq <= ? AND "+ofDays+" AND until_at > ? AND from_at < ? AND "+ofTime, r.summed, midnight, at)
		if err != nil {
			return nil, err
		}
		for _, e := range append(ending, longer...) {
			partly[e.Seq] = e
		}
	}
	large, err := r.selected("seq <= ? AND NOT ("+notLarge+") AND until_at > ? AND from_at < ? AND "+ofTime, r.summed, from, r.until)
	if err != nil {
		return nil, err
	}
	for _, e := range large {
		partly[e.Seq] = e
	}
	for _, e := range partly {
		all = append(all, clipped([]ledger.Entry{e}, from, r.until)...)
	}
	return all, nil
}

// clipped cuts entries to the time from one moment until before another, in microseconds.
func clipped(entries []ledger.Entry, from, until int64) (parts []ledger.Entry) {
	var end time.Time
	if until != math.MaxInt64 {
		end = time.UnixMicro(until).UTC()
	}
	for _, e := range entries {
		if part, ok := ledger.Clip(e, time.UnixMicro(from).UTC(), end); ok {
			parts = append(parts, part)
		}
	}
	return parts
}

// selected returns the tenant's entries that match a condition.
func (r *chargeReader) selected(condition string, args ...any) ([]ledger.Entry, error) {
	var where sqlkit.Where
	where.Add(condition, args...)
	if r.f.Tenant != "" {
		where.Add("tenant = ?", r.f.Tenant)
	}
	rows, err := r.tx.QueryContext(r.ctx, "SELECT "+record.EntryColumns+" FROM entries "+where.Text()+" ORDER BY seq", where.Args...)
	if err != nil {
		return nil, fmt.Errorf("read entries: %w", err)
	}
	return sqlkit.Collect(rows, record.ScanEntry)
}
