package journal

import (
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/receipt"
	"github.com/bothy-env/bothy/internal/store"
)

// Book adds what a change of a row writes into the ledger: the time that the change ends. It is part of
// every change, so that each second is in exactly one entry. An environment that ends without having been
// begun gets its receipt here; whoever ends another one must bring the proof, so that every one that is gone has one.
func (j *Journal) Book(before, after *fleet.Environment, now time.Time, writes *store.Writes) error {
	entries, booked := ledger.Book(*before, *after, now)
	after.BookedUntil = booked
	writes.Entries = append(writes.Entries, entries...)
	if after.State != fleet.Destroyed || before.State == fleet.Destroyed || writes.Receipt != nil {
		return nil
	}
	if before.State != fleet.Pending {
		return fleet.Errorf(fleet.CodeInternal, "end environment %s: there is no proof that it is gone", after.ID)
	}
	writes.Receipt = j.Sign(unbegun(j.ReceiptBody(*after)))
	return nil
}

// Charged adds up what entries charge for time.
func Charged(entries []ledger.Entry) int64 {
	var sum int64
	for _, entry := range entries {
		if entry.Credit == ledger.AccountCapacity {
			sum += entry.AmountMicros
		}
	}
	return sum
}

// Sign makes what the store asks for the next receipt of the chain.
func (j *Journal) Sign(b receipt.Body) func(fleet.Receipt) (fleet.Receipt, error) {
	return func(next fleet.Receipt) (fleet.Receipt, error) {
		b.Seq, b.PrevHash = next.Seq, next.PrevHash
		r, err := receipt.Sign(b, j.key)
		next.At, next.Body, next.Hash, next.Signature = r.At, r.Body, r.Hash, r.Signature
		return next, err
	}
}

// ReceiptBody is what a receipt says of an environment that is gone, without its proof.
func (j *Journal) ReceiptBody(env fleet.Environment) receipt.Body {
	return receipt.Body{
		Version: receipt.Version, Instance: j.instance,
		Environment: receipt.Environment{
			ID: env.ID, Name: env.Name, Tenant: env.Tenant, Team: env.Team, User: env.Owner,
			Blueprint: env.Blueprint.String(), Digest: env.Blueprint.Digest, Pool: env.Pool, Host: env.Host,
		},
		CreatedAt: env.CreatedAt, DestroyedAt: env.DestroyedAt, Currency: env.Size.Currency,
	}
}

// unbegun is the proof for an environment that nothing was ever begun for.
func unbegun(b receipt.Body) receipt.Body {
	b.Checks = []receipt.Check{{At: b.DestroyedAt, What: "nothing was ever begun for it, as its record shows"}}
	return b
}
