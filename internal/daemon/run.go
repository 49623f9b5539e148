package daemon

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/doctor"
	"github.com/bothy-env/bothy/internal/engine/prober"
	"github.com/bothy-env/bothy/internal/engine/vault"
)

// Run recovers what an earlier process left, then plans and works until ctx
// ends. It then starts no more work, and waits up to grace for running work to end. After that it interrupts the work, which records
// the interruption.
func (d *Daemon) Run(ctx context.Context, grace time.Duration) error {
	defer d.end()
	if err := d.begin(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it began
		}
		return err
	}
	// Work outlives ctx by the grace, so that Terraform may finish.
	workCtx, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	// Hosts are held while anything runs on them.
	holdCtx, stopHolding := context.WithCancel(context.WithoutCancel(ctx))

	var loops, holding sync.WaitGroup
	d.guard.KeepUp(holdCtx, &holding, "the holding of hosts", func() { d.hosts.Run(holdCtx) })
	for what, run := range map[string]func(context.Context){
		"the bid for the lead": d.reconcile.Leader().Run, "the controller": d.reconcile.Run, "the probers of hosts": d.hosts.Probe, "the sweeps": d.sweeper.Run,
		"the measuring of use": d.meter.Run, "the care of warm environments": d.warmpool.Run, "the notices": d.liveness.Run,
		"the notices of want of memory": d.memory.Run, "the wake-ups by other daemons": func(ctx context.Context) { d.followers.Wake(ctx, d.cfg.Logger) }, "the marks at the engines": d.engineMarks.Run,
		"the prober of the database": d.health.Run, "the prober of the checks": d.Doctor.Run, "the pruning of records": d.pruner.Run,
		"the preparation of blueprints": d.worker.PrepareAhead, "the tries of what is back": d.worker.TryAgain,
	} {
		d.guard.KeepUp(ctx, &loops, what, func() { run(ctx) })
	}
	d.guard.KeepUp(ctx, &loops, "the start of work", func() { d.worker.Run(ctx, workCtx) })
	<-ctx.Done()
	loops.Wait()

	d.worker.Finish(grace, stopWork)
	d.warmpool.Close()
	stopHolding()
	holding.Wait()
	d.end()
	d.guard.EndsSoon()
	d.engineMarks.Leave(ctx)
	return nil
}

// begin does what must precede every decision.
func (d *Daemon) begin(ctx context.Context) error {
	last, err := d.clock.Start(ctx, d.cfg.Store, d.cfg.AcceptClock, d.cfg.Logger)
	if err != nil {
		return fmt.Errorf("cannot set the clock: %w", err)
	}
	d.evidence.LookedBefore(last.At)
	if err := vault.CheckKey(ctx, d.cfg.Store, d.cfg.Secret); err != nil {
		return err
	}
	if err := d.safeMode.Begin(ctx); err != nil {
		return fmt.Errorf("cannot recover: %w", err)
	}
	d.hosts.FirstLook(ctx)
	if err := d.hosts.Declare(ctx); err != nil {
		return fmt.Errorf("cannot recover: %w", err)
	}
	if d.cfg.Began == nil {
		return nil
	}
	return d.cfg.Began()
}

// questions are the checks of doctor, in order.
func (d *Daemon) questions() []prober.Question {
	all := []prober.Question{prober.Each("store", d.health.Check)}
	for _, h := range d.hosts.All() {
		all = append(all, prober.Question{Name: d.hosts.CheckName(h.ProviderName(), h), Ask: func(context.Context) []doctor.Check { return d.checkHost(h) }})
	}
	all = append(all,
		prober.Each("leader", d.reconcile.Leader().Check), prober.Each("identity", d.hosts.Twins().Check), prober.Each("hosts", d.hosts.Check),
		prober.Known("clock", func(context.Context) doctor.Check { return d.clock.Check(d.cfg.Store.Shared()) }),
		prober.Each("brake", d.Brake.Check), prober.Each("removing", d.worker.CheckRemoving), prober.Each("pools", d.Pools.Check),
		prober.Each("safe-mode", d.safeMode.Check), prober.Known("labels", d.sweeper.Check), prober.Known("blueprints", d.worker.CheckHeld),
		prober.Known("sandboxes", d.liveness.Check), prober.Known("faults", d.guard.Check))
	all = append(all, prober.All("machine", prober.Each, d.cfg.ExtraChecks)...)
	return append(all, prober.All("machine", prober.Costly, d.cfg.CostlyChecks)...)
}

// checkHost returns the checks of a host.
func (d *Daemon) checkHost(h *Host) []doctor.Check {
	checks, usable := d.hosts.CheckHost(h)
	if usable { // otherwise blueprints fail for the same cause
		checks = append(checks, d.worker.CheckBlueprints(h))
	}
	return checks
}
