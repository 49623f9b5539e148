package engine

import (
	"context"
	"crypto/ed25519"
	"slices"

	"github.com/bothy-env/bothy/internal/fleet"
)

// ReceiptKey gives the public key that receipts are verified with, 32 bytes of Ed25519.
func (e *Engine) ReceiptKey() []byte {
	return slices.Clone(e.vault.ReceiptKey().Public().(ed25519.PublicKey))
}

// Receipt gives the proof that everything an environment created is gone.
//
// Errors: not_found (no such environment, or it went before there were receipts), conflict (it is not gone yet).
func (e *Engine) Receipt(ctx context.Context, who fleet.Identity, nameOrID string) (fleet.Receipt, error) {
	env, err := e.find(ctx, who, nameOrID)
	if err != nil {
		return fleet.Receipt{}, err
	}
	if env.State.Live() {
		return fleet.Receipt{}, fleet.Errorf(fleet.CodeConflict, "environment %s is %s; its receipt is made when it is gone", env.Name, env.State).
			WithHint("give it back and wait for it: bothy down %s", env.Name)
	}
	return e.store.Receipt(ctx, env.ID)
}

// Receipts gives a page of all receipts, of every tenant, in the order of their numbers: those after a number, at most limit
// (0: 100, never more than 1000).
func (e *Engine) Receipts(ctx context.Context, _ fleet.Identity, after int64, limit int) ([]fleet.Receipt, error) {
	return e.store.Receipts(ctx, after, limit)
}
