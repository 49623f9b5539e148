package docker

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/docker/docker/api/types/network"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/firewall"
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

// keeper is the NetworkKeeper's state. What exists is read from the engine;
// this only remembers what this process made and handed out.
type keeper struct {
	r      *Runtime
	cfg    NetworkConfig
	local  bool
	fw     firewall.Names
	tables *firewall.Tables
	flush  func(context.Context, netip.Prefix) error // makes the kernel forget connections; tests replace it

	bg     context.Context // of the work behind Reserve; ends with Close
	stop   context.CancelFunc
	wg     sync.WaitGroup
	fillMu sync.Mutex // one fill at a time, so that no two make the same last one

	mu    sync.Mutex
	spare []slot
	held  map[string]int // networks that were handed out -> Reconciles in a row that missed them
	// strange are the ids of networks that the last Reconcile found with no one who holds them.
	strange  map[string]bool
	making   map[int]bool
	next     int // where to look for a free slot first: a freed subnet rests for a round
	filling  bool
	soon     *time.Timer // of refillSoon
	closed   bool
	isolated bool // the rules were in place when last looked at
	// looked is when that was, and found what was found then.
	looked time.Time
	found  error
	loose  bool // isolation is off, and old rules are gone
}

// Reserve hands out a network that no other environment is on. With a spare one
// ready it takes one call to the engine; else the network is made now. The name is what a sandbox's
// network_mode is to be: it joins the namespace of the slot's holder, which is on the network already.
// Class Permanent: isolation is enforced and the rules cannot be set. Quota: the pool is used up.
func (r *Runtime) Reserve(ctx context.Context, owner provisioner.Owner) (provisioner.Attachment, error) {
	const op = "reserve network"
	k := r.net
	if owner.Instance != "" && owner.Instance != r.instance {
		return "", provisioner.Errorf(provisioner.Permanent, op, "the environment belongs to instance %q, this is %q", owner.Instance, r.instance)
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
		held, err := k.holds(ctx, s.holder)
		if held {
			return attachmentTo(s.name), nil
		}
		k.drop(s.name)
		if err != nil {
			return "", err // the network stays; Reconcile finds it
		}
		r.log.Info("a spare network's holder was removed by somebody else", "network", s.name)
	}
	s, err := k.create(ctx, func(s slot) { k.held[s.name] = 0 })
	if err != nil {
		return "", err
	}
	k.refillSoon()
	return attachmentTo(s.name), nil
}

// Release removes a network after its environment is gone; the slot is made anew
// when it is next needed. It waits a while for the last sandbox to leave.
func (r *Runtime) Release(ctx context.Context, at provisioner.Attachment) error {
	const op = "release network"
	name := slotOf(string(at))
	cctx, cancel := r.call(ctx)
	n, err := r.api.NetworkInspect(cctx, name, network.InspectOptions{})
	cancel()
	switch err = r.fail(ctx, op, err); {
	case provisioner.Is(err, provisioner.NotFound):
		r.net.drop(name)
		return nil
	case err != nil:
		return err
	case !r.owns(n.Labels) || n.Labels[LabelSlot] == "" || n.Name != name:
		return provisioner.Errorf(provisioner.Conflict, op, "network %q is no slot of this installation; it is left alone", name)
	}
	wctx, cancel := context.WithTimeout(ctx, releaseFor)
	defer cancel()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := r.net.remove(ctx, n)
		if err == nil {
			r.net.drop(name)
			r.net.refill()
			return nil
		}
		if !provisioner.Is(err, provisioner.Conflict) {
			return err
		}
		select {
		case <-wctx.Done():
			if ctx.Err() != nil {
				return r.fail(ctx, op, ctx.Err())
			}
			return provisioner.Errorf(provisioner.Transient, op, "a container is still on network %s", name)
		case <-time.After(wait):
		}
	}
}

// Reconcile removes slots that no one holds, asserts the isolation rules and begins to make spare networks, which
// goes on behind it. It does all it can and returns what failed. A network that no live environment holds is removed when a
// second Reconcile in a row misses it: whoever reserved it, be it another daemon, may be about to write it down. It also removes what reading an image's users left.
func (r *Runtime) Reconcile(ctx context.Context, live []provisioner.Attachment) error {
	k := r.net
	var errs []error
	errs = append(errs, k.isolate(ctx, true))
	r.reweigh(ctx)
	r.releaseLeft()
	r.removeReaders(ctx)
	errs = append(errs, r.sweepEtcs(ctx))
	k.mu.Lock()
	known := slices.Clone(k.spare)
	k.mu.Unlock()
	holders, err := k.holders(ctx)
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

// settle brings memory in line with what exists and who holds it, and gives the networks that must go.
// known are the spare ones from before found was listed: one that is newer may be missing there rightly.
func (k *keeper) settle(known []slot, found map[string]network.Summary, live []provisioner.Attachment) []network.Summary {
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
		name := slotOf(string(at))
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

// Close removes spare networks, and the rules when no network of the installation is left. The Runtime
// cannot reserve after it.
func (r *Runtime) Close(ctx context.Context) error {
	k := r.net
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	// A network that is being made is waited for: given up on, the engine would make it all the same.
	k.wg.Wait()
	r.etcs.close()
	k.stop()
	defer closeQuietly(r.api)

	holders, err := k.holders(ctx)
	if err != nil {
		return err
	}
	found, err := k.ours(ctx)
	if err != nil {
		return err
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
		return err
	}
	left, err := k.ours(ctx)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return nil
	}
	err = r.dissolve()
	if k.cfg.Isolation == IsolationOff || !k.local {
		return err
	}
	return errors.Join(err, k.tables.Remove(ctx))
}

// Isolation reports whether the rules that keep sandboxes from the host and its private networks are in
// place, and puts them there when they are not. ErrIsolationOff when they are not wanted.
func (r *Runtime) Isolation(ctx context.Context) error {
	if r.net.cfg.Isolation == IsolationOff {
		return ErrIsolationOff
	}
	return r.net.isolate(ctx, true)
}

// Isolated is Isolation as it was found last, when that was not longer ago than within. Whoever asks often changes nothing.
func (r *Runtime) Isolated(ctx context.Context, within time.Duration) error {
	if r.net.cfg.Isolation == IsolationOff {
		return ErrIsolationOff
	}
	r.net.mu.Lock()
	found, known := r.net.found, !r.net.looked.IsZero() && time.Since(r.net.looked) <= within
	r.net.mu.Unlock()
	if known {
		return found
	}
	return r.Isolation(ctx)
}

// isolate asserts the rules when they are not known to be there, or again.
func (k *keeper) isolate(ctx context.Context, again bool) error {
	if k.cfg.Isolation == IsolationOff {
		return k.loosen(ctx, again)
	}
	k.mu.Lock()
	done := k.isolated
	k.mu.Unlock()
	if done && !again {
		return nil
	}
	var err error
	if k.local {
		cctx, cancel := k.r.call(ctx)
		err = k.tables.Assert(cctx)
		cancel()
	} else {
		err = firewall.Impossible("the Docker engine "+k.r.host+" is not on this host", firewall.AdviceHere, nil)
	}
	cutOff := err != nil && ctx.Err() != nil
	k.mu.Lock()
	if k.isolated = err == nil; !cutOff {
		k.looked, k.found = time.Now(), err
	}
	k.mu.Unlock()
	if cutOff {
		return k.r.fail(ctx, firewall.Op, ctx.Err())
	}
	return err
}

// loosen takes away, once, the rules of a time when isolation was enforced.
func (k *keeper) loosen(ctx context.Context, now bool) error {
	k.mu.Lock()
	done := k.loose || !now || !k.local
	k.mu.Unlock()
	if done {
		return nil
	}
	if err := k.tables.Remove(ctx); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.loose = true
	return nil
}
