package evidence

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/receipt"
)

// Absence is the proof that nothing of an environment exists any more.
type Absence struct {
	// Checks are the looks that found nothing, in order.
	Checks []receipt.Check
	// Removed says that something was found before them, Billed that the bill had ended before that was.
	Removed, Billed bool
}

// Proof is what is known of an environment that was deleted.
type Proof struct {
	Absence
	resources []receipt.Resource
	// booked is what the ledger charged before its end.
	booked int64
}

// Proven collects everything that was ever seen of an environment, beside the checks that found nothing. sandbox is the kind of its
// sandbox, "" when its host is not known.
func (e *Evidence) Proven(ctx context.Context, env fleet.Environment, sandbox string, gone Absence) (Proof, error) {
	p := Proof{Absence: gone}
	var err error
	if p.resources, err = e.seenOf(ctx, env.ID); err != nil {
		return p, err
	}
	recorded, err := e.recordedResources(ctx, env.ID)
	if err != nil {
		return p, err
	}
	before := "it was gone before it was looked for"
	if at, byUs := e.ended.EndedAt(env.ID); byUs {
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
	kind := cmp.Or(sandbox, kindUnknown)
	if id := env.SandboxID; id != "" && !known(kind, id, "") {
		p.resources = append(p.resources, receipt.Resource{Kind: kind, ID: id, Note: before})
	}
	if name := env.Network; name != "" && !known("network", "", name) {
		p.resources = append(p.resources, receipt.Resource{
			Kind: "network", Name: name, Note: "lent by the keeper of networks, which takes it back after this",
		})
	}
	entries, err := e.store.Entries(ctx, env.ID)
	p.booked = journal.Charged(entries)
	return p, err
}

// Body completes a receipt. final are the last entries, which are written together with it.
func (p Proof) Body(b receipt.Body, final []ledger.Entry) receipt.Body {
	b.Resources, b.Checks = p.resources, p.Checks
	b.CostMicros = p.booked + journal.Charged(final)
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

// recordedResources are the objects on record as a receipt tells them.
func (e *Evidence) recordedResources(ctx context.Context, id string) ([]receipt.Resource, error) {
	objects, err := e.store.Objects(ctx, id)
	if err != nil {
		return nil, err
	}
	var all []receipt.Resource
	for _, o := range objects {
		if o.ID != "" {
			all = append(all, receipt.Resource{Kind: o.Kind, ID: o.ID, Name: o.Name})
		}
	}
	return all, nil
}
