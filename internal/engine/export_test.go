package engine

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/prober"
	"github.com/bothy-env/bothy/internal/fleet"
)

// LookAtHosts asks a running engine to look at once whether its hosts can be used.
func (e *Engine) LookAtHosts() {
	for _, name := range e.hosts.Names() {
		e.hosts.Ready(name).Forget()
	}
}

// SeeTwin tells an engine of a host that another holds.
func (e *Engine) SeeTwin(h fleet.Host) { e.hosts.Twins().See([]fleet.Host{h}) }

// LookForHolds asks a running engine to hold its hosts at once, Serves reports whether it holds one.
func (e *Engine) LookForHolds() { e.bus.Nudge(bus.Hold) }

// Serves reports whether the engine serves a host.
func (e *Engine) Serves(host string) bool { return e.hosts.Serves(host) }

// LookForLead asks a running engine to bid for the lead at once, Leads reports whether it has it.
func (e *Engine) LookForLead() { e.bus.Nudge(bus.Lead) }

// Leads reports whether the engine plans.
func (e *Engine) Leads() bool { return e.reconcile.Leader().Leads() }

// SweepOnce sweeps the hosts that the engine serves, and its machine, now.
func (e *Engine) SweepOnce(ctx context.Context) error {
	var errs []error
	for _, h := range e.hosts.All() {
		errs = append(errs, e.sweeper.SweepServed(ctx, h))
	}
	return errors.Join(append(errs, e.local.Sweep(ctx))...)
}

// CheckNow looks at everything that Checks tells afresh. What does not answer soon is left out.
func (e *Engine) CheckNow(ctx context.Context) (all []Check) {
	asked := e.prober.Asked()
	answers := make([]chan []Check, len(asked))
	for i, a := range asked {
		answers[i] = make(chan []Check, 1)
		go func() { answers[i] <- a.Ask(ctx) }()
	}
	soon := time.NewTimer(prober.Timeout)
	defer soon.Stop()
	for _, answer := range answers {
		select {
		case checks := <-answer:
			all = append(all, checks...)
			continue
		default:
		}
		select {
		case checks := <-answer:
			all = append(all, checks...)
		case <-soon.C:
			soon.Reset(0)
		}
	}
	return all
}

// Disbelieve is what an engine does that found an unused environment to be used.
func (e *Engine) Disbelieve(ctx context.Context, id string, unused func(*fleet.Environment) bool) (unknown bool, err error) {
	return e.doubts.Disbelieve(ctx, id, unused)
}

// DoubtAsAnother turns safe mode on as another daemon of the database does.
func (e *Engine) DoubtAsAnother(ctx context.Context, reason string) error {
	text, err := json.Marshal(map[string]any{"reason": reason, "since": e.Now(), "rows": true})
	if err != nil {
		return err
	}
	_, err = e.store.Doubt(ctx, e.Now(), "safe-mode", "", string(text), fleet.Event{At: e.Now(), Actor: "another", Kind: "safe-mode.on", Message: reason})
	return err
}

// KnowsLease reports whether the engine could end a lease without its database.
func (e *Engine) KnowsLease(id string) bool {
	return e.health.Knows(id)
}
