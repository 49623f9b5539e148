package docker

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/docker/docker/api/types/network"

	"github.com/bothy-env/bothy/provisioner"
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
	fw     firewall
	tables *tables

	bg     context.Context // of the work behind Reserve; ends with Close
	stop   context.CancelFunc
	wg     sync.WaitGroup
	fillMu sync.Mutex // one fill at a time, so that no two make the same last one

	mu       sync.Mutex
	spare    []slot
	held     map[string]int // networks that were handed out -> Reconciles in a row that missed them
	making   map[int]bool
	next     int // where to look for a free slot first: a freed subnet rests for a round
	filling  bool
	soon     *time.Timer // of refillSoon
	closed   bool
	isolated bool // the rules were in place when last looked at
	loose    bool // isolation is off, and old rules are gone
}

// Reserve hands out a network that no other environment is on. With a spare one
// ready it takes one call to the engine; else the network is made now. The name is what a sandbox's
// network_mode is to be: it joins the namespace of the slot's holder, which is on the network already.
// Class Permanent: isolation is enforced and the rules cannot be set. Quota: the pool is used up.
func (r *Runtime) Reserve(ctx context.Context, owner provisioner.Owner) (string, error) {
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
			return joinPrefix + s.name, nil
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
	return joinPrefix + s.name, nil
}

// Release removes a network after its environment is gone; the slot is made anew
// when it is next needed. It waits a while for the last sandbox to leave.
func (r *Runtime) Release(ctx context.Context, reserved string) error {
	const op = "release network"
	name := slotOf(reserved)
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
		err := r.net.remove(ctx, n.Name, n.ID)
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
// goes on behind it. It does all it can and returns what failed. A reservation of this process that no live
// environment holds is removed when a second Reconcile in a row misses it.
func (r *Runtime) Reconcile(ctx context.Context, live []string) error {
	k := r.net
	var errs []error
	errs = append(errs, k.isolate(ctx, true))
	k.mu.Lock()
	known := slices.Clone(k.spare)
	k.mu.Unlock()
	found, err := k.ours(ctx)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	errs = append(errs, k.removeAll(ctx, k.settle(known, found, live)))
	if errs[0] == nil {
		k.refill()
	}
	return errors.Join(errs...)
}

// settle brings memory in line with what exists and who holds it, and gives the networks that must go.
// known are the spare ones from before found was listed: one that is newer may be missing there rightly.
func (k *keeper) settle(known []slot, found map[string]network.Summary, live []string) []network.Summary {
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
	for _, reserved := range live {
		name := slotOf(reserved)
		isLive[name] = true
		// A spare one of that name was made after its row was read: nobody has it.
		if _, exists := found[name]; exists && !keep[name] {
			k.held[name] = 0
		}
	}
	for name := range k.held {
		if isLive[name] {
			continue
		}
		if k.held[name]++; k.held[name] >= missedMost {
			delete(k.held, name)
		}
	}
	var gone []network.Summary
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if _, isHeld := k.held[name]; !isHeld && !keep[name] {
			gone = append(gone, found[name])
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
	k.stop()
	defer closeQuietly(r.api)

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
	if err := k.removeAll(ctx, gone); err != nil {
		return err
	}
	left, err := k.ours(ctx)
	if err != nil {
		return err
	}
	if len(left) > 0 || k.cfg.Isolation == IsolationOff || !k.local {
		return nil
	}
	return k.tables.remove(ctx)
}

// Isolation reports whether the rules that keep sandboxes from the host and its private networks are in
// place, and puts them there when they are not. ErrIsolationOff when they are not wanted.
func (r *Runtime) Isolation(ctx context.Context) error {
	if r.net.cfg.Isolation == IsolationOff {
		return ErrIsolationOff
	}
	return r.net.isolate(ctx, true)
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
		err = k.tables.assert(cctx)
		cancel()
	} else {
		err = impossible("the Docker engine "+k.r.host+" is not on this host", nil)
	}
	k.mu.Lock()
	k.isolated = err == nil
	k.mu.Unlock()
	if err != nil && ctx.Err() != nil {
		return k.r.fail(ctx, opIsolate, ctx.Err())
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
	if err := k.tables.remove(ctx); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.loose = true
	return nil
}
