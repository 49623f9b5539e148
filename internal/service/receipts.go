package service

import (
	"context"
	"slices"

	"github.com/bothy-env/bothy/internal/fleet"
)

// ReceiptKey returns the public key that verifies receipts, 32 bytes of Ed25519.
func (r *Records) ReceiptKey() []byte {
	return slices.Clone(r.cfg.ReceiptKey)
}

// Receipt returns the proof that everything an environment created is deleted.
//
// Errors: not_found (no such environment, or it is older than receipts), conflict (not deleted yet).
func (r *Records) Receipt(ctx context.Context, who fleet.Identity, nameOrID string) (fleet.Receipt, error) {
	env, err := r.cfg.Access.Find(ctx, who, nameOrID)
	if err != nil {
		return fleet.Receipt{}, err
	}
	if env.State.Live() {
		return fleet.Receipt{}, fleet.Errorf(fleet.CodeConflict, "environment %s is %s; its receipt is made when it is gone", env.Name, env.State).
			WithHint("delete it and wait: bothy down %s", env.Name)
	}
	return r.cfg.Store.Receipt(ctx, env.ID)
}

// Receipts returns a page of the receipts of all tenants, in the order of their numbers: those after a number, at most limit
// (0: 100, maximum 1000).
func (r *Records) Receipts(ctx context.Context, _ fleet.Identity, after int64, limit int) ([]fleet.Receipt, error) {
	return r.cfg.Store.Receipts(ctx, after, limit)
}
