package record

import (
	"strconv"
	"strings"
)

// The names of counters. The first three number the records that all transactions share; the others say how far they are summed and
// pruned (migration 13).
const (
	EntriesCounter     = "entries"
	EventsCounter      = "events"
	ReceiptsCounter    = "receipts"
	SummedEntries      = "entries.summed"
	PrunedEntries      = "entries.pruned"
	PrunedEnvironments = "environments.pruned"
	PrunedReceipts     = "receipts.pruned"
)

const (
	// ReadCounter reads the counter $1.
	ReadCounter = "SELECT value FROM counters WHERE name = $1"
	// RaiseCounter raises the counter $1 to $2.
	RaiseCounter = "UPDATE counters SET value = $2 WHERE name = $1 AND value < $2"
	// TakeNumber takes the next number of the counter $1.
	TakeNumber = "UPDATE counters SET value = value + 1 WHERE name = $1 RETURNING value"
	// ReadMarks reads the highest numbers of events and receipts.
	ReadMarks = `SELECT (SELECT value FROM counters WHERE name = 'events'), (SELECT value FROM counters WHERE name = 'receipts')`
)

// DayMicros is a UTC day in microseconds.
const DayMicros = 24 * 60 * 60 * 1_000_000

// TakeNumbers adds to counters, given as rows of name and number. It is an insert, because that locks in the order of its rows.
func TakeNumbers(source string) string {
	return "INSERT INTO counters (name, value) " + source + " ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value"
}

// Built once, because every transaction uses them.
var (
	insertEntries = numbered("entries", EntryColumns, EntriesCounter)
	insertEvents  = numbered("events", EventColumns, EventsCounter)
)

// InsertEntries inserts EntryRows.
func InsertEntries(source string) string { return insertEntries(source) }

// InsertEvents inserts EventRows.
func InsertEvents(source string) string { return insertEvents(source) }

// numbered inserts rows into a table whose first column is their number. The numbers were taken before; each row has its offset from the
// last of them, see placeFromLast.
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

// placeFromLast is the offset of number i of n from the last.
func placeFromLast(i, n int) int64 { return int64(i + 1 - n) }
