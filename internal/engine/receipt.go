package engine

import (
	"context"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/receipt"
)

// newReceiptKey derives the key that receipts are signed with from the installation's master key, so that
// all its daemons sign alike.
func newReceiptKey(secret []byte) (ed25519.PrivateKey, error) {
	seed, err := hkdf.Key(sha256.New, secret, nil, "bothy receipts v1", ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("derive receipt key: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// ReceiptKey gives the public key that receipts are verified with, 32 bytes of Ed25519.
func (e *Engine) ReceiptKey() []byte {
	return slices.Clone(e.receiptKey.Public().(ed25519.PublicKey))
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

// sign makes what the store asks for the next receipt of the chain.
func (e *Engine) sign(b receipt.Body) func(fleet.Receipt) (fleet.Receipt, error) {
	return func(next fleet.Receipt) (fleet.Receipt, error) {
		b.Seq, b.PrevHash = next.Seq, next.PrevHash
		r, err := receipt.Sign(b, e.receiptKey)
		next.At, next.Body, next.Hash, next.Signature = r.At, r.Body, r.Hash, r.Signature
		return next, err
	}
}

// receiptBody is what a receipt says of an environment that is gone, without its proof.
func (e *Engine) receiptBody(env fleet.Environment) receipt.Body {
	return receipt.Body{
		Version: receipt.Version, Instance: e.cfg.Instance,
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

// proof is what is known of an environment that was taken away.
type proof struct {
	absence
	resources []receipt.Resource
	// booked is what the ledger charged before its end.
	booked int64
}

// proven collects everything that was ever seen of an environment, beside the checks that found nothing.
func (e *Engine) proven(ctx context.Context, env fleet.Environment, gone absence) (proof, error) {
	p := proof{absence: gone}
	var err error
	if p.resources, err = e.seenOf(ctx, env.ID); err != nil {
		return p, err
	}
	recorded, err := e.recordedResources(ctx, env.ID)
	if err != nil {
		return p, err
	}
	before := "it was gone before it was looked for"
	if at, byUs := e.storeHealth.endedAt(env.ID); byUs {
		before = "removed at " + at.UTC().Format(time.RFC3339) + ", after the end of its lease, while the database could not be used"
	}
	known := func(kind, id, name string) bool {
		return slices.ContainsFunc(p.resources, func(r receipt.Resource) bool {
			return r.Kind == kind && (id != "" && r.ID == id || name != "" && r.Name == name)
		})
	}
	for _, r := range recorded {
		if !known(r.Kind, r.ID, "") {
			r.Note = before
			p.resources = append(p.resources, r)
		}
	}
	if id := env.SandboxID; id != "" && !known(e.kindOfSandbox(env), id, "") {
		p.resources = append(p.resources, receipt.Resource{Kind: e.kindOfSandbox(env), ID: id, Note: before})
	}
	if name := env.Network; name != "" && !known("network", "", name) {
		p.resources = append(p.resources, receipt.Resource{
			Kind: "network", Name: name, Note: "lent by the keeper of networks, which takes it back after this",
		})
	}
	entries, err := e.store.Entries(ctx, env.ID)
	p.booked = charged(entries)
	return p, err
}

// kindOfSandbox is the kind of an environment's sandbox, seen or not.
func (e *Engine) kindOfSandbox(env fleet.Environment) string {
	if h := e.hosts.byName[env.Host]; h != nil {
		return h.sandboxKind()
	}
	return kindUnknown
}

// body completes a receipt. final are the last entries, which are written together with it.
func (p proof) body(b receipt.Body, final []ledger.Entry) receipt.Body {
	b.Resources, b.Checks = p.resources, p.checks
	b.CostMicros = p.booked + charged(final)
	return b
}

// providerTime is a provider's time as it is kept; nil when it told none.
func providerTime(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC().Truncate(time.Microsecond)
	return &at
}
