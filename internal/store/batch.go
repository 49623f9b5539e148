package store

import (
	"context"
	"strconv"
	"strings"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
)

// batch collects what one transaction adds to the records that all transactions share. flush writes it
// last and always in the same order: their locks are held briefly, and nobody waits in a circle.
type batch struct {
	usage   map[fleet.Scope]amounts
	spend   map[period]money
	entries []ledger.Entry
	events  []fleet.Event
	// receipts to be signed, in order.
	receipts []toSign
}

// toSign is the receipt of an environment that is gone.
type toSign struct {
	of   string
	sign func(fleet.Receipt) (fleet.Receipt, error)
}

// moved notes what a row's change does to the usage and the spend of its scopes. before is nil for
// a new row. spent is what the row has cost those that it had before, when that is settled.
func (b *batch) moved(before, after *fleet.Environment, spent money) {
	if before != nil {
		b.use(before, -1)
		b.hold(before, -1)
		if settles(before, after) {
			b.settle(before, spent)
		}
	}
	b.use(after, 1)
	b.hold(after, 1)
	b.entries = append(b.entries, holdEntries(before, after)...)
}

// note adds records of one environment.
func (b *batch) note(id string, events []fleet.Event, entries []ledger.Entry) {
	for _, e := range events {
		e.EnvironmentID = id
		b.events = append(b.events, e)
	}
	for _, e := range entries {
		e.EnvironmentID = id
		b.entries = append(b.entries, e)
	}
}

func (b *batch) flush(ctx context.Context, tx *txn) error {
	events, err := eventRows(b.events)
	if err != nil {
		return err
	}
	var all []sqlkit.Statement
	for _, part := range []struct {
		rows [][]any
		text func(source string) string
	}{
		{b.usageRows(), changeUsage}, {b.spendRows(), changeSpend},
		{b.counterRows(), takeNumbers},
		{entryRows(b.entries), insertEntries}, {events, insertEvents},
	} {
		statements, err := tx.ForRows(part.rows, part.text)
		if err != nil {
			return err
		}
		all = append(all, statements...)
	}
	for _, e := range b.events {
		tx.told = append(tx.told, e.EnvironmentID)
	}
	if len(b.events) > 0 {
		all = append(all, sqlkit.Statement{Text: "SELECT value FROM counters WHERE name = '" + eventsCounter + "'", Into: []any{&tx.events}})
	}
	if err := tx.ExecAll(ctx, all); err != nil {
		return err
	}
	for _, r := range b.receipts {
		if err := appendReceipt(ctx, tx, r.of, r.sign); err != nil {
			return err
		}
	}
	return nil
}

// The records whose entries are numbered.
const (
	entriesCounter  = "entries"
	eventsCounter   = "events"
	receiptsCounter = "receipts"
)

// counterRows say how many numbers are needed, in the order in which counters are locked.
func (b *batch) counterRows() (rows [][]any) {
	if n := len(b.entries); n > 0 {
		rows = append(rows, []any{entriesCounter, int64(n)})
	}
	if n := len(b.events); n > 0 {
		rows = append(rows, []any{eventsCounter, int64(n)})
	}
	return rows
}

// takeNumbers is written as an insert, which locks in the order of its rows.
func takeNumbers(source string) string {
	return "INSERT INTO counters (name, value) " + source + " ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value"
}

// Made once: every transaction uses them.
var (
	insertEntries = numbered("entries", entryColumns, entriesCounter)
	insertEvents  = numbered("events", eventColumns, eventsCounter)
)

// numbered inserts rows into a table whose first column is their number: the numbers were taken before, and
// each row has its place among them, see placeFromLast.
func numbered(table, columns, counter string) func(source string) string {
	names := make([]string, strings.Count(columns, ",")+1)
	for i := range names {
		names[i] = "v.column" + strconv.Itoa(i+1)
	}
	names[0] = "c.value + v.column1"
	return func(source string) string {
		return "INSERT INTO " + table + " (" + columns + ") SELECT " + strings.Join(names, ", ") +
			" FROM (" + source + ") AS v CROSS JOIN counters AS c WHERE c.name = '" + counter + "'"
	}
}

// placeFromLast is what is added to the last of n numbers to have the number of i.
func placeFromLast(i, n int) int64 { return int64(i + 1 - n) }

// number takes the next number of a record.
func number(ctx context.Context, tx *txn, record string) (next int64, err error) {
	err = tx.QueryRowContext(ctx, "UPDATE counters SET value = value + 1 WHERE name = $1 RETURNING value", record).Scan(&next)
	return next, err
}
