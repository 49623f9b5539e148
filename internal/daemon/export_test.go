package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/doctor"
	"github.com/bothy-env/bothy/internal/engine/prober"
	"github.com/bothy-env/bothy/internal/fleet"
)

// LookAtHosts asks a running daemon to look at once whether its hosts can be used.
func (d *Daemon) LookAtHosts() {
	for _, name := range d.hosts.Names() {
		d.hosts.Ready(name).Forget()
	}
}

// SeeTwin tells a daemon of a host that another holds.
func (d *Daemon) SeeTwin(h fleet.Host) { d.hosts.Twins().See([]fleet.Host{h}) }

// LookForHolds asks a running daemon to hold its hosts at once, Serves reports whether it holds one.
func (d *Daemon) LookForHolds() { d.bus.Nudge(bus.Hold) }

// Serves reports whether the daemon serves a host.
func (d *Daemon) Serves(host string) bool { return d.hosts.Serves(host) }

// LookForLead asks a running daemon to bid for the lead at once, Leads reports whether it has it.
func (d *Daemon) LookForLead() { d.bus.Nudge(bus.Lead) }

// Leads reports whether the daemon plans.
func (d *Daemon) Leads() bool { return d.reconcile.Leader().Leads() }

// SweepOnce sweeps the hosts that the daemon serves, and its machine, now.
func (d *Daemon) SweepOnce(ctx context.Context) error {
	var errs []error
	for _, h := range d.hosts.All() {
		errs = append(errs, d.sweeper.SweepServed(ctx, h))
	}
	return errors.Join(append(errs, d.sweeper.Local.Sweep(ctx))...)
}

// CheckNow looks at everything that Checks tells afresh. What does not answer soon is left out.
func (d *Daemon) CheckNow(ctx context.Context) (all []doctor.Check) {
	asked := d.Doctor.Asked()
	answers := make([]chan []doctor.Check, len(asked))
	for i, a := range asked {
		answers[i] = make(chan []doctor.Check, 1)
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

// Disbelieve is what a daemon does that found an unused environment to be used.
func (d *Daemon) Disbelieve(ctx context.Context, id string, unused func(*fleet.Environment) bool) (unknown bool, err error) {
	return d.doubts.Disbelieve(ctx, id, unused)
}

// DoubtAsAnother turns safe mode on as another daemon of the database does.
func (d *Daemon) DoubtAsAnother(ctx context.Context, reason string) error {
	text, err := json.Marshal(map[string]any{"reason": reason, "since": d.Now(), "rows": true})
	if err != nil {
		return err
	}
	_, err = d.cfg.Store.Doubt(ctx, d.Now(), "safe-mode", "", string(text), fleet.Event{At: d.Now(), Actor: "another", Kind: "safe-mode.on", Message: reason})
	return err
}

// KnowsLease reports whether the daemon could end a lease without its database.
func (d *Daemon) KnowsLease(id string) bool {
	return d.health.Knows(id)
}
