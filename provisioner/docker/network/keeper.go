// Package network makes the isolated networks that sandboxes run on: slots of a pool, each with a holder of its namespace, made ahead and
// removed after use, and the firewall rules that isolate them.
package network

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/docker/docker/api/types/network"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/sandbox"
)

const (
	// missedMost is how many Reconciles in a row must miss a reservation of this process before it counts as
	// forgotten: the first may have been given a list from before the name was written down.
	missedMost = 2
	// removeAtOnce is how many networks are removed at the same time.
	removeAtOnce = 4
	// refillAfter is how long nothing must have been reserved before spare networks are made again.
	refillAfter = time.Second
	// releaseFor bounds the wait for a network's last container to leave it.
	releaseFor = 15 * time.Second
)

// Keeper is the NetworkKeeper's state. What exists is read from the engine;
// this only remembers what this process made and handed out.
type Keeper struct {
	*Rules
	engine  *engine.Client
	cfg     Config
	holders *holders
	bg      context.Context // of the work behind Reserve

	wg     sync.WaitGroup
	fillMu sync.Mutex // one fill at a time, so that no two make the same last one

	mu    sync.Mutex
	spare []slot
	held  map[string]int // networks that were handed out -> Reconciles in a row that missed them
	// strange are the ids of networks that the last Reconcile found with no one who holds them.
	strange map[string]bool
	making  map[int]bool
	next    int // where to look for a free slot first: a freed subnet rests for a round
	filling bool
	soon    *time.Timer // of refillSoon
	closed  bool
}

// Reserve hands out a network that no other environment is on. With a spare one
// ready it takes one call to the engine; else the network is made now. The name is what a sandbox's
// network_mode is to be: it joins the namespace of the slot's holder, which is on the network already.
// Class Permanent: isolation is enforced and the rules cannot be set. Quota: the pool is used up.
func (k *Keeper) Reserve(ctx context.Context, owner provisioner.Owner) (provisioner.Attachment, error) {
	const op = "reserve network"
	if owner.Instance != "" && owner.Instance != k.engine.Instance {
		return "", provisioner.Errorf(provisioner.Permanent, op, "the environment belongs to instance %q, this is %q", owner.Instance, k.engine.Instance)
	}
	if err := k.isolate(ctx, false); err != nil {
		return "", err
	}
	for {
		s, ok, err := k.pop()
		if err != nil {
			return "", err
		}
		if !ok {
			break
		}
		k.refillSoon()
		held, err := k.holders.run(ctx, s.holder)
		if held {
			return sandbox.AttachmentTo(s.name), nil
		}
		k.drop(s.name)
		if err != nil {
			return "", err // the network stays; Reconcile finds it
		}
		k.engine.Log.Info("a spare network's holder was removed by somebody else", "network", s.name)
	}
	s, err := k.create(ctx, func(s slot) { k.held[s.name] = 0 })
	if err != nil {
		return "", err
	}
	k.refillSoon()
	return sandbox.AttachmentTo(s.name), nil
}

// Release removes a network after its environment is gone; the slot is made anew
// when it is next needed. It waits a while for the last sandbox to leave.
func (k *Keeper) Release(ctx context.Context, at provisioner.Attachment) error {
	const op = "release network"
	name := sandbox.SlotOf(string(at))
	cctx, cancel := k.engine.Call(ctx)
	n, err := k.engine.API.NetworkInspect(cctx, name, network.InspectOptions{})
	cancel()
	switch err = k.engine.Fail(ctx, op, err); {
	case provisioner.Is(err, provisioner.NotFound):
		k.drop(name)
		return nil
	case err != nil:
		return err
	case !k.engine.Owns(n.Labels) || n.Labels[sandbox.LabelSlot] == "" || n.Name != name:
		return provisioner.Errorf(provisioner.Conflict, op, "network %q is no slot of this installation; it is left alone", name)
	}
	wctx, cancel := context.WithTimeout(ctx, releaseFor)
	defer cancel()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := k.remove(ctx, n)
		if err == nil {
			k.drop(name)
			k.refill()
			return nil
		}
		if !provisioner.Is(err, provisioner.Conflict) {
			return err
		}
		select {
		case <-wctx.Done():
			if ctx.Err() != nil {
				return k.engine.Fail(ctx, op, ctx.Err())
			}
			return provisioner.Errorf(provisioner.Transient, op, "a container is still on network %s", name)
		case <-time.After(wait):
		}
	}
}

// Reconcile removes slots that no one holds, asserts the isolation rules and begins to make spare networks, which
// goes on behind it. It does all it can and returns what failed. A network that no live environment holds is removed when a
// second Reconcile in a row misses it: whoever reserved it, be it another daemon, may be about to write it down. Between the
// rules and the networks it calls also, whose error it returns with its own.
func (k *Keeper) Reconcile(ctx context.Context, live []provisioner.Attachment, also func() error) error {
	var errs []error
	errs = append(errs, k.isolate(ctx, true))
	errs = append(errs, also())
	k.mu.Lock()
	known := slices.Clone(k.spare)
	k.mu.Unlock()
	holders, err := k.holders.list(ctx)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	found, err := k.ours(ctx)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	errs = append(errs, k.removeAll(ctx, k.settle(known, found, live)), k.removeStrays(ctx, holders, found))
	if errs[0] == nil {
		k.refill()
	}
	return errors.Join(errs...)
}

// NetworkFiles returns the binds (HostConfig.Binds) with which a sandbox sees the network's files of its reservation
// without being able to write them.
func (k *Keeper) NetworkFiles(ctx context.Context, reserved string) ([]string, error) {
	return k.holders.files(ctx, reserved)
}

// settle brings memory in line with what exists and who holds it, and gives the networks that must go.
// known are the spare ones from before found was listed: one that is newer may be missing there rightly.
func (k *Keeper) settle(known []slot, found map[string]network.Summary, live []provisioner.Attachment) []network.Summary {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.spare = slices.DeleteFunc(k.spare, func(s slot) bool {
		return slices.Contains(known, s) && found[s.name].ID != s.id
	})
	keep := map[string]bool{}
	for _, s := range k.spare {
		keep[s.name] = true
	}
	for n := range k.making {
		keep[k.slotName(n)] = true
	}
	isLive := map[string]bool{}
	for _, at := range live {
		name := sandbox.SlotOf(string(at))
		isLive[name] = true
		// A spare one of that name was made after its row was read: nobody has it.
		if _, exists := found[name]; exists && !keep[name] {
			k.held[name] = 0
		}
	}
	missed := map[string]bool{}
	for name := range k.held {
		if isLive[name] {
			continue
		}
		if k.held[name]++; k.held[name] >= missedMost {
			delete(k.held, name)
			missed[name] = true
		}
	}
	var gone []network.Summary
	before := k.strange
	k.strange = map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		n := found[name]
		if _, isHeld := k.held[name]; isHeld || keep[name] {
			continue
		}
		k.strange[n.ID] = true
		if missed[name] || before[n.ID] {
			gone = append(gone, n)
		}
	}
	return gone
}

// Stop waits for a network that is being made: given up on, the engine would make it all the same. The keeper cannot reserve
// after it.
func (k *Keeper) Stop() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.wg.Wait()
}

// RemoveSpare removes the networks that are not handed out, and reports whether any of the installation's is left. Call it
// after Stop.
func (k *Keeper) RemoveSpare(ctx context.Context) (left bool, err error) {
	holders, err := k.holders.list(ctx)
	if err != nil {
		return false, err
	}
	found, err := k.ours(ctx)
	if err != nil {
		return false, err
	}
	k.mu.Lock()
	k.spare = nil
	held := maps.Clone(k.held)
	k.mu.Unlock()
	var gone []network.Summary
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if _, isHeld := held[name]; !isHeld {
			gone = append(gone, found[name])
		}
	}
	if err := errors.Join(k.removeAll(ctx, gone), k.removeStrays(ctx, holders, found)); err != nil {
		return false, err
	}
	rest, err := k.ours(ctx)
	return len(rest) > 0, err
}
