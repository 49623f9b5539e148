package network

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/docker/docker/api/types/network"

	"github.com/bothy-env/bothy/provisioner"
)

// pop takes a spare slot and notes it as held, in one step.
func (k *Keeper) pop() (slot, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return slot{}, false, provisioner.Errorf(provisioner.Cancelled, "reserve network", "bothyd is shutting down")
	}
	if len(k.spare) == 0 {
		return slot{}, false, nil
	}
	s := k.spare[0]
	k.spare = k.spare[1:]
	k.held[s.name] = 0
	return s, true, nil
}

// Spares counts the networks that are ready.
func (k *Keeper) Spares() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.spare)
}

// drop forgets a held network.
func (k *Keeper) drop(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.held, name)
}

// take picks a free slot and marks it as being made; -1 when there is none.
func (k *Keeper) take(passed map[int]bool, taken []netip.Prefix) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := pick(k.cfg.Pool, k.next, func(n int) bool { return passed[n] || k.making[n] }, taken)
	if n >= 0 {
		k.making[n] = true
		k.next = (n + 1) % slots(k.cfg.Pool)
	}
	return n
}

// untake ends the making of a slot; register notes what was made in the same
// step, so that no Reconcile finds it without an owner.
func (k *Keeper) untake(n int, register func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.making, n)
	register()
}

// refillSoon refills when no network was asked for during a moment: in a burst
// of requests the engine has better things to do.
func (k *Keeper) refillSoon() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.soon == nil {
		k.soon = time.AfterFunc(refillAfter, k.refill)
		return
	}
	k.soon.Reset(refillAfter)
}

// refill makes spare networks behind the caller's back, one refill at a time.
func (k *Keeper) refill() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.filling || k.closed || len(k.spare) >= k.cfg.Spare {
		return
	}
	k.filling = true
	k.wg.Go(func() {
		err := k.fill(k.bg)
		k.mu.Lock()
		k.filling = false
		k.mu.Unlock()
		if err != nil && k.bg.Err() == nil {
			k.engine.Log.Warn("spare networks could not be made; the next environments make their own", "error", err)
		}
	})
}

// fill makes networks until there are as many spare ones as wanted.
func (k *Keeper) fill(ctx context.Context) error {
	k.fillMu.Lock()
	defer k.fillMu.Unlock()
	for {
		k.mu.Lock()
		enough := k.closed || len(k.spare) >= k.cfg.Spare
		k.mu.Unlock()
		if enough {
			return nil
		}
		if _, err := k.create(ctx, func(s slot) {
			delete(k.held, s.name) // of one of that name that is gone: a sweep may have read its row before
			k.spare = append(k.spare, s)
		}); err != nil {
			return err
		}
	}
}

// remove removes one slot: its holder and its network. Conflict: a sandbox is still on it.
func (k *Keeper) remove(ctx context.Context, n network.Inspect) error {
	const op = "remove network"
	name, id := n.Name, n.ID
	if err := k.holders.remove(ctx, name); err != nil {
		return err
	}
	// Nobody sends any more. A network that is there still is tried again, so that nothing is forgotten by halves.
	for _, c := range n.IPAM.Config {
		if p, err := netip.ParsePrefix(c.Subnet); err == nil {
			if err := k.forget(ctx, p); err != nil {
				return err
			}
		}
	}
	cctx, cancel := k.engine.Call(ctx)
	defer cancel()
	err := k.engine.RemoveNetwork(cctx, ctx, op, id)
	if provisioner.Is(err, provisioner.NotFound) {
		return nil
	}
	return err
}

// removeAll removes networks, a few at once. One that a container is still on is left for the next
// Reconcile: whoever sweeps containers comes first.
func (k *Keeper) removeAll(ctx context.Context, gone []network.Summary) error {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
		room = make(chan struct{}, removeAtOnce)
	)
	for _, n := range gone {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			err := k.remove(ctx, n)
			if provisioner.Is(err, provisioner.Conflict) {
				k.engine.Log.Info("a network that no environment holds is still in use", "network", n.Name)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
