package store

import (
	"context"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
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
	if err := b.flushUsage(ctx, tx); err != nil {
		return err
	}
	if err := b.flushSpend(ctx, tx); err != nil {
		return err
	}
	first, err := numbers(ctx, tx, len(b.entries), len(b.events))
	if err != nil {
		return err
	}
	if err := appendEntries(ctx, tx, first[entriesCounter], b.entries); err != nil {
		return err
	}
	if err := appendEvents(ctx, tx, first[eventsCounter], b.events); err != nil {
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

// numbers takes numbers for entries and events and gives the first of each.
func numbers(ctx context.Context, tx *txn, entries, events int) (map[string]int64, error) {
	first := map[string]int64{}
	var err error
	switch {
	case entries == 0 && events == 0:
		return first, nil
	case entries == 0:
		first[eventsCounter], err = number(ctx, tx, eventsCounter, events)
		return first, err
	case events == 0:
		first[entriesCounter], err = number(ctx, tx, entriesCounter, entries)
		return first, err
	}
	const taken = "CASE name WHEN $3 THEN CAST($1 AS BIGINT) ELSE CAST($2 AS BIGINT) END"
	const update = "UPDATE counters SET value = value + " + taken + " WHERE name IN ($3, $4) RETURNING name, value + 1 - " + taken
	rows, err := tx.QueryContext(ctx, update, entries, events, entriesCounter, eventsCounter)
	if err != nil {
		return nil, err
	}
	_, err = collect(rows, func(row scanner) (none struct{}, err error) {
		var name string
		var n int64
		err = row.Scan(&name, &n)
		first[name] = n
		return none, err
	})
	return first, err
}

// number takes n numbers of a record and gives the first.
func number(ctx context.Context, tx *txn, record string, n int) (first int64, err error) {
	const update = "UPDATE counters SET value = value + CAST($1 AS BIGINT) WHERE name = $2 RETURNING value + 1 - CAST($1 AS BIGINT)"
	err = tx.QueryRowContext(ctx, update, n, record).Scan(&first)
	return first, err
}
