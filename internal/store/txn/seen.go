package txn

import (
	"sync/atomic"

	"github.com/bothy-env/bothy/internal/fleet"
)

// highest are the highest numbers of records that this process has written.
type highest struct{ events, receipts atomic.Int64 }

func (h *highest) advance(events, receipts int64) {
	raise(&h.events, events)
	raise(&h.receipts, receipts)
}

func raise(n *atomic.Int64, to int64) {
	for old := n.Load(); to > old && !n.CompareAndSwap(old, to); old = n.Load() {
	}
}

// Seen returns the highest numbers of events and receipts that this process has committed, without asking the database.
func (d *DB) Seen() (events, receipts int64) { return d.seen.events.Load(), d.seen.receipts.Load() }

// ForgetSeen accepts the database as it is now, once it is known to be restored.
func (d *DB) ForgetSeen() {
	d.seen.events.Store(0)
	d.seen.receipts.Store(0)
}

// setBack is the error of a transaction that got numbers which this process had already seen committed.
func setBack(doing string) error {
	return fleet.Errorf(fleet.CodeUnavailable, "%s: %w", doing, ErrSetBack).
		WithHint("nothing was written; the daemon compares the database with its environments by itself. See: bothy doctor")
}
