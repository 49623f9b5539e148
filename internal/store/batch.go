package store

import (
	"context"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// batch collects what one transaction adds to the records that all transactions share. flush writes it last and in a fixed order, so the
// locks are held briefly and cannot deadlock.
type batch struct {
	usage   map[fleet.Scope]amounts
	spend   map[period]money
	entries []ledger.Entry
	events  []fleet.Event
	// receipts are to be signed in this order.
	receipts []toSign
}

// toSign is the receipt of a destroyed environment.
type toSign struct {
	of   string
	sign func(fleet.Receipt) (fleet.Receipt, error)
}

// moved adds a row's change to the usage and spend of its scopes. before is nil for a new row. spent is what the row has cost its holder,
// when that is settled.
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

func (b *batch) flush(ctx context.Context, tx *txn.Tx) error {
	scopes := []txn.Part{{Rows: b.usageRows(), Text: changeUsage}, {Rows: b.spendRows(), Text: changeSpend}}
	if err := tx.Append(ctx, scopes, b.entries, b.events); err != nil {
		return err
	}
	for _, r := range b.receipts {
		if err := appendReceipt(ctx, tx, r.of, r.sign); err != nil {
			return err
		}
	}
	return nil
}
