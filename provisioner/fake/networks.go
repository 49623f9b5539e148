package fake

import (
	"context"
	"slices"
	"strings"

	"github.com/bothy-env/bothy/provisioner"
)

var _ provisioner.NetworkKeeper = (*Runtime)(nil)

const (
	labelSlot  = "bothy.slot"
	slotSpare  = "spare"
	slotInUse  = "in-use"
	slotPrefix = "-net-"
)

// Reserve hands out a network: a spare one, else one made now.
func (r *Runtime) Reserve(ctx context.Context, owner provisioner.Owner) (at provisioner.Attachment, err error) {
	if err := r.w.undeclared("reserve network", r.w.like.can.Networks); err != nil {
		return "", err
	}
	err = r.w.simple(ctx, OpReserve, owner.Environment, func() error {
		slot := r.w.spare()
		if slot == nil {
			var err error
			if slot, err = r.w.makeSlot(); err != nil {
				return err
			}
		}
		at = attachment(slot.Name)
		r.handedOut[slot.Name] = 0
		slot.Labels[labelSlot] = slotInUse
		return r.w.resources.put(slot.ID, slot)
	})
	return at, err
}

// Release removes a network.
func (r *Runtime) Release(ctx context.Context, at provisioner.Attachment) error {
	if err := r.w.undeclared("release network", r.w.like.can.Networks); err != nil {
		return err
	}
	name := networkOf(at)
	return r.w.simple(ctx, OpRelease, "", func() error {
		delete(r.handedOut, name)
		slot, ok := r.w.resources.rows[r.w.byName[kindNetwork+"/"+name]]
		if !ok || slot.Labels[labelSlot] == "" {
			return nil
		}
		return r.w.resources.drop(slot.ID)
	})
}

// spared reports whether a network was handed out here, and not missed too often by those who hold one.
func (r *Runtime) spared(name string, live map[string]bool) bool {
	missed, ok := r.handedOut[name]
	switch {
	case !ok:
		return false
	case live[name]:
		missed = 0
	default:
		missed++
	}
	if r.handedOut[name] = missed; missed >= missedMost {
		delete(r.handedOut, name)
	}
	return missed < missedMost
}

// missedMost is how many Reconciles in a row must miss what this Runtime handed out before it counts as given up.
const missedMost = 2

// Reconcile removes networks that no one holds and makes spare ones. What was handed out moments ago, by this Runtime or another,
// stays until a second Reconcile misses it: who has it may be about to write it down.
func (r *Runtime) Reconcile(ctx context.Context, held []provisioner.Attachment) error {
	if err := r.w.undeclared("reconcile networks", r.w.like.can.Networks); err != nil {
		return err
	}
	live := map[string]bool{}
	for _, at := range held {
		live[networkOf(at)] = true
	}
	return r.w.simple(ctx, OpReconcile, "", func() error {
		before := r.strange
		r.strange = map[string]bool{}
		spare := 0
		for _, slot := range r.w.slots() {
			switch {
			case r.spared(slot.Name, live):
			case live[slot.Name]:
				slot.Labels[labelSlot] = slotInUse
				if err := r.w.resources.put(slot.ID, slot); err != nil {
					return err
				}
			case slot.Labels[labelSlot] == slotSpare && spare < r.w.opts.Spare:
				spare++
			case slot.Labels[labelSlot] == slotInUse && !before[slot.ID]:
				r.strange[slot.ID] = true
			default:
				if err := r.w.resources.drop(slot.ID); err != nil {
					return err
				}
			}
		}
		for ; spare < r.w.opts.Spare; spare++ {
			if _, err := r.w.makeSlot(); err != nil {
				return err
			}
		}
		return nil
	})
}

// Close removes spare networks.
func (r *Runtime) Close(ctx context.Context) error {
	return r.w.simple(ctx, OpCloseNetworks, "", func() error {
		for _, slot := range r.w.slots() {
			if slot.Labels[labelSlot] != slotSpare {
				continue
			}
			if err := r.w.resources.drop(slot.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// slots lists the instance's networks, sorted by name. Within tx.
func (w *World) slots() []*resource {
	var all []*resource
	for id := range w.slotIDs {
		if r := w.resources.rows[id]; r.Labels[provisioner.LabelInstance] == w.opts.Instance {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *resource) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// spare finds a spare network; any will do.
func (w *World) spare() *resource {
	for id := range w.spareIDs {
		if r := w.resources.rows[id]; r.Labels[provisioner.LabelInstance] == w.opts.Instance {
			return r
		}
	}
	return nil
}

// makeSlot makes a spare network; the generation in its name is never used twice.
func (w *World) makeSlot() (*resource, error) {
	labels := w.opts.Key.Labels(provisioner.Owner{Instance: w.opts.Instance, Created: w.now()})
	labels[labelSlot] = slotSpare
	name := "bothy-" + w.opts.Instance + slotPrefix + strings.TrimPrefix(w.resourceID(kindNetwork, "slot"), w.like.idPrefix)[:8]
	slot := &resource{Kind: kindNetwork, Name: name, Labels: labels}
	return slot, w.add("make network", slot)
}
