package txn

import (
	"context"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store/record"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
)

// Part is a statement made from rows, see sqlkit.Tx.ForRows.
type Part struct {
	Rows [][]any
	Text func(source string) string
}

// Append runs statements and appends entries and events to the records, in one round trip. Call it last: it locks the records that all
// transactions share, in a fixed order, so the locks are held briefly and cannot deadlock.
func (t *Tx) Append(ctx context.Context, first []Part, entries []ledger.Entry, events []fleet.Event) error {
	eventRows, err := record.EventRows(events)
	if err != nil {
		return err
	}
	var all []sqlkit.Statement
	for _, part := range append(first,
		Part{counterRows(len(entries), len(events)), record.TakeNumbers},
		Part{record.EntryRows(entries), record.InsertEntries}, Part{eventRows, record.InsertEvents},
	) {
		statements, err := t.ForRows(part.Rows, part.Text)
		if err != nil {
			return err
		}
		all = append(all, statements...)
	}
	for _, e := range events {
		t.told = append(t.told, e.EnvironmentID)
	}
	if len(events) > 0 {
		all = append(all, sqlkit.Statement{Text: "SELECT value FROM counters WHERE name = '" + record.EventsCounter + "'", Into: []any{&t.events}})
	}
	return t.ExecAll(ctx, all)
}

// AppendEvents appends events that come without a change of an environment.
func (t *Tx) AppendEvents(ctx context.Context, events ...fleet.Event) error {
	return t.Append(ctx, nil, nil, events)
}

// counterRows are the numbers needed, in the order in which counters are locked.
func counterRows(entries, events int) (rows [][]any) {
	if entries > 0 {
		rows = append(rows, []any{record.EntriesCounter, int64(entries)})
	}
	if events > 0 {
		rows = append(rows, []any{record.EventsCounter, int64(events)})
	}
	return rows
}

// NextReceipt takes the number of the next receipt. Other transactions wait for this one to end.
func (t *Tx) NextReceipt(ctx context.Context) (int64, error) {
	err := t.QueryRowContext(ctx, record.TakeNumber, record.ReceiptsCounter).Scan(&t.receipts)
	return t.receipts, err
}

// LogAdded is the suffix of notifications of new log lines, which affect no decision.
const LogAdded = "\nlog"

// TellLogged notifies followers, also those of other processes, of new lines in an environment's log when the transaction commits.
func (t *Tx) TellLogged(ctx context.Context, id string) error {
	t.logged = append(t.logged, id)
	if !t.DB.Shared() {
		return nil
	}
	_, err := t.ExecContext(ctx, "SELECT pg_notify('bothy', $1)", t.DB.Process()+"\n"+id+LogAdded)
	return err
}
