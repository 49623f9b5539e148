package engine

import (
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store"
)

// book adds what a change of a row writes into the ledger: the time that the change ends. It is part of
// every change, so that each second is in exactly one entry. An environment that ends without having been
// begun gets its receipt here; whoever ends another one must bring the proof, so that every one that is gone has one.
func (e *Engine) book(before, after *fleet.Environment, now time.Time, writes *store.Writes) error {
	entries, booked := ledger.Book(*before, *after, now)
	after.BookedUntil = booked
	writes.Entries = append(writes.Entries, entries...)
	if after.State != fleet.Destroyed || before.State == fleet.Destroyed || writes.Receipt != nil {
		return nil
	}
	if before.State != fleet.Pending {
		return fleet.Errorf(fleet.CodeInternal, "end environment %s: there is no proof that it is gone", after.ID)
	}
	writes.Receipt = e.sign(unbegun(e.receiptBody(*after)))
	return nil
}

// charged adds up what entries charge for time.
func charged(entries []ledger.Entry) int64 {
	var sum int64
	for _, entry := range entries {
		if entry.Credit == ledger.AccountCapacity {
			sum += entry.AmountMicros
		}
	}
	return sum
}
