package engine

import (
	"context"

	"github.com/bothy-env/bothy/internal/engine/doctor"
	"github.com/bothy-env/bothy/internal/engine/prober"
)

// Check is one finding about what the daemon needs.
type Check = doctor.Check

// Statuses of a check.
const (
	OK      = doctor.OK
	Warning = doctor.Warning
	Down    = doctor.Down
)

// allAsked is everything that the daemon needs to make environments.
func (e *Engine) allAsked() []prober.Question {
	all := []prober.Question{prober.Each("store", e.health.Check)}
	for _, h := range e.hosts.All() {
		all = append(all, prober.Question{Name: e.hosts.CheckName(h.ProviderName(), h), Ask: func(context.Context) []Check { return e.checkHost(h) }})
	}
	all = append(all,
		prober.Each("leader", e.reconcile.Leader().Check), prober.Each("identity", e.hosts.Twins().Check), prober.Each("hosts", e.hosts.Check), prober.Known("clock", func(context.Context) Check { return e.clock.Check(e.store.Shared()) }),
		prober.Each("brake", e.reconcile.Limiter().Check), prober.Each("removing", e.worker.CheckRemoving), prober.Each("pools", e.catalogue.Check), prober.Each("safe-mode", e.safeMode.Check),
		prober.Known("labels", e.sweeper.Check), prober.Known("blueprints", e.worker.CheckHeld),
		prober.Known("sandboxes", e.liveness.Check), prober.Known("faults", e.guard.Check))
	for _, extra := range e.cfg.ExtraChecks {
		all = append(all, prober.Each("machine", extra))
	}
	for _, costly := range e.cfg.CostlyChecks {
		all = append(all, prober.Costly("machine", costly))
	}
	return all
}

// Checks gives what is known of everything that the daemon needs to make environments: what its prober found last, with its age. It
// asks neither an engine nor the database; all that it does is to keep the prober at its usual pace.
func (e *Engine) Checks(ctx context.Context) []Check { return e.prober.Checks(ctx) }

// checkHost tells what a host lacks.
func (e *Engine) checkHost(h *Host) []Check {
	checks, usable := e.hosts.CheckHost(h)
	if usable { // else its cause is the blueprints' too
		checks = append(checks, e.worker.CheckBlueprints(h))
	}
	return checks
}
