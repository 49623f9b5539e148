// Package daemon wires the rooms of internal/engine and the use cases of internal/service, and starts and stops them in order. A request
// is decided and recorded by acquire; reconcile plans from the store; worker executes what is recorded. The three meet only in the
// store, so that the next tick resumes after a crash at any point.
package daemon

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/bothy-env/bothy/internal/engine/acquire"
	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/certificates"
	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/engine/evidence"
	"github.com/bothy-env/bothy/internal/engine/guard"
	"github.com/bothy-env/bothy/internal/engine/hosts"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/engine/observe"
	"github.com/bothy-env/bothy/internal/engine/pools"
	"github.com/bothy-env/bothy/internal/engine/prober"
	"github.com/bothy-env/bothy/internal/engine/reconcile"
	"github.com/bothy-env/bothy/internal/engine/recovery"
	"github.com/bothy-env/bothy/internal/engine/retention"
	"github.com/bothy-env/bothy/internal/engine/sweep"
	"github.com/bothy-env/bothy/internal/engine/vault"
	"github.com/bothy-env/bothy/internal/engine/warmpool"
	"github.com/bothy-env/bothy/internal/engine/worker"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
)

// Daemon is one process of bothyd. Make it with New, then Run it. Its exported fields are the use cases.
type Daemon struct {
	*acquire.Requests
	*service.Services
	Pools  *pools.Catalogue
	Brake  *reconcile.Limiter
	Doctor *prober.Prober

	cfg       Config
	clock     *clock.Clock
	bus       *bus.Bus
	guard     *guard.Guard
	followers *bus.Followers
	hosts     *hosts.Hosts
	reconcile *reconcile.Controller
	warmpool  *warmpool.Keeper
	evidence  *evidence.Evidence
	worker    *worker.Worker
	sweeper   *sweep.Sweeper
	meter     *observe.Meter
	memory    *observe.Memory
	liveness  *observe.Liveness
	pruner    *retention.Pruner
	// safeMode is whether the database can be trusted, engineMarks are the marks at the engines, doubts are environments that users decide
	// on, health is whether the database works.
	safeMode    *recovery.SafeMode
	engineMarks *recovery.EngineMarks
	doubts      *recovery.Doubts
	health      *recovery.Health
	// end ends what outlives Run's context.
	end context.CancelFunc
}

// New checks the configuration, derives keys and wires the rooms. It starts nothing.
func New(cfg Config) (*Daemon, error) {
	if cfg.Store == nil || cfg.Blueprints == nil || cfg.Instance == "" || cfg.Worker == "" {
		return nil, errors.New("cannot create daemon: it requires store, blueprints, instance and worker ids")
	}
	cfg.Concurrency, cfg.SweepEvery, cfg.Times = cmp.Or(cfg.Concurrency, 10), cmp.Or(cfg.SweepEvery, 30*time.Second), cfg.Times.Or()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	keys, err := vault.New(cfg.Secret, cfg.Store)
	if err != nil {
		return nil, fmt.Errorf("cannot create daemon: %w", err)
	}
	db, logger, catalogue := cfg.Store, cfg.Logger, acquire.Catalogue{Blueprints: cfg.Blueprints}
	d := &Daemon{cfg: cfg, clock: clock.New(cfg.Clock, cfg.Wall), bus: bus.New(cfg.Chance), guard: guard.New(logger, cfg.Tick)}
	d.followers = d.bus.NewFollowers(db)
	j, rows, trusted := journal.New(db, d.clock, cfg.Instance, keys.ReceiptKey(), logger), journal.NewRows(db), certificates.New(cfg.Certificates)
	if d.hosts, err = hosts.New(hosts.Config{
		Declared: cfg.Hosts, Store: db, Rows: rows, Neighbours: neighbours{d}, Clock: d.clock, Bus: d.bus, Guard: d.guard, Logger: logger,
		Worker: cfg.Worker, Ended: cfg.Ended, Advertise: cfg.Advertise, WorkLease: cfg.WorkLease, Twin: cfg.Twin, NewID: cfg.NewID, Room: cfg.Room,
	}); err != nil {
		return nil, fmt.Errorf("cannot create daemon: %w", err)
	}

	life, end := context.WithCancel(context.Background())
	d.end = end
	rc := recovery.Config{
		Store: db, Hosts: d.hosts, Blueprints: cfg.Blueprints, Journal: j, Bus: d.bus, Clock: d.clock, Guard: d.guard, Logger: logger,
		Instance: cfg.Instance, Labels: keys.Labels(), Marks: cfg.Marks, Restored: cfg.Restored, Life: life, Offered: acquire.Offered,
	}
	d.safeMode = recovery.New(rc)
	d.engineMarks = recovery.NewEngineMarks(rc, d.safeMode, lists{d})
	d.doubts, d.health = recovery.NewDoubts(rc, d.safeMode), recovery.NewHealth(rc, cfg.ProbeEvery)

	d.reconcile = reconcile.New(reconcile.Config{
		Store: db, Clock: d.clock, Bus: d.bus, Journal: j, Logger: logger,
		Pools: planned{d}, Hosts: d.hosts, Recovery: d.safeMode, AwaitFirstLooks: d.engineMarks.AwaitFirstLooks, Learn: d.health.Relearn,
		NewID: acquire.NewID, Weights: cfg.Weights, Worker: cfg.Worker, Advertise: cfg.Advertise, Ended: cfg.Ended,
		Concurrency: cfg.Concurrency, CreateDeadline: cfg.CreateDeadline, WorkLease: cfg.WorkLease, Tick: cfg.Tick,
	})
	d.Brake = d.reconcile.Limiter()
	d.Pools = pools.New(pools.Config{
		Store: db, Rows: rows, Journal: j, Bus: d.bus, Clock: d.clock, Logger: logger, Planner: d.reconcile, Offer: catalogue, File: cfg.Pools,
	})
	d.warmpool = warmpool.New(warmpool.Config{
		Store: db, Hosts: d.hosts, Doubts: d.doubts, Journal: j, Bus: d.bus, Clock: d.clock, Guard: d.guard, Logger: logger, Every: cfg.SweepEvery,
	})
	d.Requests = acquire.New(acquire.Config{
		Store: db, Clock: d.clock, Bus: d.bus, Followers: d.followers, Journal: j, Logger: logger,
		Blueprints: cfg.Blueprints, Offers: d.Pools, Hosts: d.hosts, Planner: d.reconcile, Safety: d.safeMode, Doubts: d.doubts,
		Warm: d.warmpool, Vault: keys, Certificates: trusted, Worker: cfg.Worker, WorkLease: cfg.WorkLease, NewName: cfg.NewName,
	})
	d.evidence = evidence.New(db, d.clock, j, d.health)
	d.worker = worker.New(worker.Config{
		Store: db, Clock: d.clock, Bus: d.bus, Guard: d.guard, Journal: j, Rows: rows, Evidence: d.evidence, Logger: logger, Labels: keys.Labels(),
		Blueprints: cfg.Blueprints, Hosts: d.hosts, Holds: d.hosts, Recovery: d.safeMode,
		Ready:    func(name string) worker.Readiness { return d.hosts.Ready(name) },
		Workable: func() []string { return d.engineMarks.Looked(d.hosts.Served(d.clock.Now())) },
		Sessions: d.warmpool, Claims: d.Requests, Vault: keys, CreateTimes: d.reconcile.CreateTimes(), Certificates: trusted,
		Instance: cfg.Instance, Worker: cfg.Worker, Concurrency: cfg.Concurrency, Times: cfg.Times,
	})

	oc := observe.Config{
		Store: db, Hosts: d.hosts, Rows: rows, Journal: j, Bus: d.bus, Clock: d.clock, Guard: d.guard, Logger: logger,
		Instance: cfg.Instance, Labels: keys.Labels(), Tick: cfg.Tick, SweepEvery: cfg.SweepEvery,
		FindLost: func(ctx context.Context, h *Host, env fleet.Environment) error {
			return d.sweeper.FindLost(ctx, h, env)
		},
	}
	d.meter, d.memory = observe.NewMeter(oc), observe.NewMemory(oc)
	d.liveness = observe.NewLiveness(oc, d.memory)
	sc := sweep.Config{
		Store: db, Rows: rows, Journal: j, Bus: d.bus, Clock: d.clock, Guard: d.guard, Logger: logger, Hosts: d.hosts,
		Safety: d.safeMode, Marks: d.engineMarks, Evidence: d.evidence, Sandboxes: d.liveness, Ended: d.health, Reserved: d.worker.Unwritten,
		Certificates: trusted, Instance: cfg.Instance, Labels: keys.Labels(), Every: cfg.SweepEvery, Grace: cfg.OrphanGrace,
	}
	d.sweeper = sweep.New(sc, sweep.NewLocal(sc, cfg.Blueprints, cfg.Worker, cfg.Left))
	d.pruner = retention.New(retention.Config{
		Store: db, Clock: d.clock, Bus: d.bus, Logger: logger, Lead: d.reconcile.Leader(), Safety: d.safeMode, Keep: cfg.Retention, WorkLease: cfg.WorkLease,
	})
	d.Doctor = prober.New(d.bus, d.guard, cfg.CheckEvery, d.questions())

	d.Services = service.New(service.Rooms{
		Base:       service.Base{Store: db, Clock: d.clock, Bus: d.bus, Journal: j, Followers: d.followers, Logger: logger},
		Blueprints: cfg.Blueprints, Hosts: d.hosts, Leases: d.health, SafeMode: d.safeMode, Meter: d.meter, Memory: d.memory, Work: d.worker,
		Liveness: d.liveness, Usages: observe.NewUsages(oc), Certificates: trusted, Doubts: d.doubts, Sweeper: d.sweeper,
		Variables: cfg.Variables, Weights: cfg.Weights, ReceiptKey: keys.ReceiptKey().Public().(ed25519.PublicKey),
	})
	return d, nil
}

// Now is the time of the daemon's clock, in UTC and with the precision of the store.
func (d *Daemon) Now() time.Time { return d.clock.Now() }

// Rooms that need each other meet here: the one that is made first gets one of these types, which finds the other in the daemon.

// neighbours tells the rooms behind hosts what happens to hosts.
type neighbours struct{ d *Daemon }

func (n neighbours) Lost(hosts []string)                 { n.d.warmpool.Drop(hosts) }
func (n neighbours) Usable(ctx context.Context, h *Host) { n.d.engineMarks.LookFirst(ctx, h) }

// lists compares hosts with the database for recovery.
type lists struct{ d *Daemon }

func (l lists) Hold(ctx context.Context, hosts ...string) (func(), error) {
	return l.d.sweeper.Hold(ctx, hosts...)
}

func (l lists) Look(ctx context.Context, h *Host, envs map[string]fleet.Environment) (recovery.Listed, error) {
	seen, err := l.d.sweeper.Look(ctx, h, envs)
	return recovery.Listed{Marks: seen.Marks, Stands: seen.Stands, Marked: seen.Marked}, err
}

// planned are the pools for reconcile.
type planned struct{ d *Daemon }

func (p planned) Follow(ctx context.Context) { p.d.Pools.Follow(ctx) }

func (p planned) Priced(ctx context.Context) ([]reconcile.Pool, error) {
	all, err := p.d.Pools.Priced(ctx)
	priced := make([]reconcile.Pool, len(all))
	for i, r := range all {
		priced[i] = reconcile.Pool{Pool: r.Pool, Member: func() fleet.Environment { return acquire.Blank(r.MadeFrom, r.Size, r.MadeWith) }}
	}
	return priced, err
}
