package txn

import (
	"sync/atomic"

	"github.com/bothy-env/bothy/internal/fleet"
)

// highest is how far this process knows the records to be, from what it wrote itself.
type highest struct{ events, receipts atomic.Int64 }

func (h *highest) advance(events, receipts int64) {
	raise(&h.events, events)
	raise(&h.receipts, receipts)
}

func raise(n *atomic.Int64, to int64) {
	for old := n.Load(); to > old && !n.CompareAndSwap(old, to); old = n.Load() {
	}
}

// Seen gives the highest numbers of the records that this process has committed; it asks nobody.
func (d *DB) Seen() (events, receipts int64) { return d.seen.events.Load(), d.seen.receipts.Load() }

// ForgetSeen takes the database as it is now, once it is known that it was restored.
func (d *DB) ForgetSeen() {
	d.seen.events.Store(0)
	d.seen.receipts.Store(0)
}

// setBack gives the error of a transaction that was given numbers which this process had seen committed before it began.
func setBack(doing string) error {
	return fleet.Errorf(fleet.CodeUnavailable, "%s: %w", doing, ErrSetBack).
		WithHint("nothing was written; the daemon looks at what there is by itself. See: bothy doctor")
}
