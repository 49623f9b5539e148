package network

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/firewall"
)

// Rules keep sandboxes from the host and its private networks, with the host's firewall.
type Rules struct {
	engine *engine.Client
	mode   string // IsolationEnforce or IsolationOff
	names  firewall.Names
	tables *firewall.Tables
	// Flush makes the kernel forget the connections of a range. Tests replace it.
	Flush func(context.Context, netip.Prefix) error

	mu       sync.Mutex
	isolated bool // the rules were in place when last looked at
	// looked is when that was, and found what was found then.
	looked time.Time
	found  error
	loose  bool // isolation is off, and old rules are gone
}

func newRules(e *engine.Client, cfg Config) *Rules {
	names := firewall.NamesOf(e.Instance)
	r := &Rules{engine: e, mode: cfg.Isolation, names: names, tables: firewall.New(names, cfg.Pool, cfg.Allow, engineResolvers)}
	r.Flush = r.tables.Flush
	return r
}

// RemoveRules removes the isolation rules, where there are any.
func (r *Rules) RemoveRules(ctx context.Context) error {
	if r.mode == IsolationOff || !r.engine.Local {
		return nil
	}
	return r.tables.Remove(ctx)
}

// Isolation reports whether the rules that keep sandboxes from the host and its private networks are in
// place, and puts them there when they are not. ErrIsolationOff when they are not wanted.
func (r *Rules) Isolation(ctx context.Context) error {
	if r.mode == IsolationOff {
		return ErrIsolationOff
	}
	return r.isolate(ctx, true)
}

// Isolated is Isolation as it was found last, when that was not longer ago than within. Whoever asks often changes nothing.
func (r *Rules) Isolated(ctx context.Context, within time.Duration) error {
	if r.mode == IsolationOff {
		return ErrIsolationOff
	}
	r.mu.Lock()
	found, known := r.found, !r.looked.IsZero() && time.Since(r.looked) <= within
	r.mu.Unlock()
	if known {
		return found
	}
	return r.Isolation(ctx)
}

// isolate asserts the rules when they are not known to be there, or again.
func (r *Rules) isolate(ctx context.Context, again bool) error {
	if r.mode == IsolationOff {
		return r.loosen(ctx, again)
	}
	r.mu.Lock()
	done := r.isolated
	r.mu.Unlock()
	if done && !again {
		return nil
	}
	var err error
	if r.engine.Local {
		cctx, cancel := r.engine.Call(ctx)
		err = r.tables.Assert(cctx)
		cancel()
	} else {
		err = firewall.Impossible("the Docker engine "+r.engine.Host+" is not on this host", firewall.AdviceHere, nil)
	}
	cutOff := err != nil && ctx.Err() != nil
	r.mu.Lock()
	if r.isolated = err == nil; !cutOff {
		r.looked, r.found = time.Now(), err
	}
	r.mu.Unlock()
	if cutOff {
		return r.engine.Fail(ctx, firewall.Op, ctx.Err())
	}
	return err
}

// loosen removes, once, the rules of a time when isolation was enforced.
func (r *Rules) loosen(ctx context.Context, now bool) error {
	r.mu.Lock()
	done := r.loose || !now || !r.engine.Local
	r.mu.Unlock()
	if done {
		return nil
	}
	if err := r.tables.Remove(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loose = true
	return nil
}

// forget makes the kernel forget the connections of a slot's addresses, as far as bothyd may.
func (r *Rules) forget(ctx context.Context, of netip.Prefix) error {
	if !r.engine.Local || r.mode == IsolationOff {
		return nil
	}
	if err := r.Flush(ctx, of); err != nil && !errors.Is(err, firewall.ErrFlowsStay) { // doctor tells
		return firewall.Broken("forget the connections of the network that was there before", err)
	}
	return nil
}

// onThisHost checks that a slot's bridge is where the rules are: a rootless engine, or one in a virtual
// machine, has a local socket and its bridges elsewhere.
func (r *Rules) onThisHost(n int) error {
	if r.mode == IsolationOff {
		return nil
	}
	if _, err := net.InterfaceByName(r.names.Bridge(n)); err != nil {
		return firewall.Impossible("the engine's networks are not on this host (it is rootless, or in a virtual machine)", firewall.AdviceHere, err)
	}
	return nil
}

// Lacking returns why sources of packets are not looked up or connections not counted; nil when they are.
func (r *Rules) Lacking() error { return r.tables.Lacking() }

// CanFlush returns why the kernel cannot be made to forget connections; nil when it can.
func (r *Rules) CanFlush() error { return r.tables.CanFlush() }

// Tables are the firewall that the rules are in.
func (r *Rules) Tables() *firewall.Tables { return r.tables }

// Run runs a program on this host with root's rights.
func (r *Rules) Run(ctx context.Context, name string, args ...string) error {
	_, err := r.tables.Do(ctx, "", append([]string{name}, args...)...)
	return err
}
