// Package engine is the only place that acts. A request is decided and
// recorded by Acquire, Extend and Release; the controller plans from what the
// store holds; the runner does what is recorded. The three meet only in the
// store, so a crash at any point is picked up by the next tick.
package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
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
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// Blueprints is where the engine finds golden paths.
type Blueprints interface {
	// Get gives a blueprint by name or name@version.
	Get(name string) (fleet.Blueprint, error)
	// List gives all, by name.
	List() []fleet.Blueprint
	// Dir gives the folder of a digest, also of one that is no longer offered.
	Dir(digest string) (string, error)
}

// Config is what an Engine is made of. Zero durations and counts mean their defaults.
type Config struct {
	Store      *store.Store
	Blueprints Blueprints
	// Hosts are the engine hosts that this daemon can reach; it serves those that no other daemon serves.
	Hosts []Host
	// Instance is this installation's id. Worker is this process's, "<daemon>.<process>": a later
	// process of the same daemon takes over at once what an earlier one held, when it is among Ended: the workers of this
	// daemon that are known to have ended.
	Instance, Worker string
	Ended            []string
	// Twin is a living worker of another process that was found under this daemon's id at the start, "" for none; this one has
	// another id now. NewID makes the state directory have another id from the next start on, when one is found later.
	Twin  string
	NewID func() error
	// Advertise is the address at which people reach this daemon's API, for those who asked another one; "" when it is not known.
	Advertise string
	// Secret is the installation's master key; the keys of labels, states, secrets and receipts are derived from it.
	Secret []byte
	Logger *slog.Logger

	// Weights gives all teams that there are, with their shares of scarce capacity; nil, or none, for equal ones of any name.
	Weights func() []fleet.Weight
	// Pools are those of the platform team's file, kept in step with the store's; nil when there is no file.
	Pools func() ([]fleet.Pool, error)
	// Marks keeps how far the records were: a database behind them was lost or restored.
	Marks Marks
	// Restored says why the database is known to be behind, "" when nothing is known of that.
	Restored string
	// Began, when not nil, is called once nothing can refuse the start any more, and before anything is done.
	Began func() error

	// Room, when not nil, says why nothing new may be made on this machine's disk: nil when there is room.
	Room func() error

	// Variables are those of every command in every sandbox, NAME=value; a request's and a command's own come before them.
	Variables []string
	// Certificates, when not nil, gives those of authorities that programs in sandboxes are to trust, in PEM; nil for none.
	Certificates func() []byte
	// Concurrency is how many environments may be in the making at once (default 10).
	Concurrency int
	// CreateTimeout bounds one try to create (default 10 min), CreateDeadline all tries (default 20 min).
	CreateTimeout, CreateDeadline time.Duration
	// PrepareTimeout bounds one try to get a blueprint ready that nobody has asked for yet (default 2 min).
	PrepareTimeout time.Duration
	// DestroyTimeout bounds one try to destroy (default 5 min).
	DestroyTimeout time.Duration
	// SlowAfter is how long a destroy may take before others may run beside it (default 5 s). After twice that, what it is
	// to remove is killed from its host.
	SlowAfter time.Duration
	// WorkLease is how long a worker, or a daemon that serves a host, may be silent (default 15 s).
	WorkLease time.Duration
	// Tick is the longest time between two plans (default 15 s), SweepEvery between two sweeps (default 30 s).
	Tick, SweepEvery time.Duration
	// ProbeEvery is the time between two probes of the database (default 15 s).
	ProbeEvery time.Duration
	// OrphanGrace is how long an orphan is only reported (default 60 s).
	OrphanGrace time.Duration
	// Retention is how long records are kept (default: all for good).
	Retention Retention
	// Clock replaces the engine's own clock, which no jump of the machine's moves; for tests.
	Clock func() time.Time
	// AcceptClock starts at the machine's (or the database's) time, whatever elapsed time says of it.
	AcceptClock bool
	// Wall reads the machine's clock (default time.Now).
	Wall func() time.Time
	// Chance draws from [0, 1), to keep what is tried again apart (default: math/rand).
	Chance func() float64
	// NewName makes up a name for a request that gives none (default: two words and a number).
	NewName func() string
	// CheckEvery is the time between two rounds of looks at what Checks tells (default 5 s).
	CheckEvery time.Duration
	// ExtraChecks are looked at beside the engine's own, CostlyChecks once a minute.
	ExtraChecks, CostlyChecks []func(context.Context) Check
	// Left are the hosts that this daemon does not declare any more, of which it still keeps something on this machine.
	Left []LeftHost
}

// Retention is how long records are kept.
type Retention = retention.Periods

// Engine acts on environments. Make one with New, then Run it.
type Engine struct {
	cfg        Config
	store      *store.Store
	blueprints Blueprints
	hosts      *hosts.Hosts
	clock      *clock.Clock
	logger     *slog.Logger
	// bus wakes the loops, guard begins what runs beside others, and journal writes rows.
	bus     *bus.Bus
	guard   *guard.Guard
	journal *journal.Journal

	labels provisioner.Key
	vault  *vault.Vault
	*acquire.Requests
	followers *bus.Followers
	evidence  *evidence.Evidence
	warmpool  *warmpool.Keeper
	catalogue *pools.Catalogue
	reconcile *reconcile.Controller
	worker    *worker.Worker
	sweeper   *sweep.Sweeper
	local     *sweep.Local
	// meter, usages, memory and liveness look at the sandboxes that run.
	meter    *observe.Meter
	usages   *observe.Usages
	memory   *observe.Memory
	liveness *observe.Liveness
	sourced  sourced
	// certificates are given to every sandbox.
	certificates *certificates.Certificates
	// safeMode is whether the database can be believed, engineMarks lie at the engines, doubts are the environments that people decide on, and
	// health is whether the database can be used.
	safeMode    *recovery.SafeMode
	engineMarks *recovery.EngineMarks
	doubts      *recovery.Doubts
	health      *recovery.Health
	rows        *journal.Rows
	// prober looks at what Checks tells.
	prober *prober.Prober
	pruner *retention.Pruner
	// life ends with the engine's.
	life    context.Context
	endLife context.CancelFunc
}

// New checks the configuration and derives keys. It starts nothing.
func New(cfg Config) (*Engine, error) {
	if cfg.Store == nil || cfg.Blueprints == nil {
		return nil, errors.New("make engine: store and blueprints are needed")
	}
	if cfg.Instance == "" || cfg.Worker == "" {
		return nil, errors.New("make engine: instance and worker ids are needed")
	}
	keys, err := vault.New(cfg.Secret, cfg.Store)
	if err != nil {
		return nil, fmt.Errorf("make engine: %w", err)
	}
	cfg.Concurrency = cmp.Or(cfg.Concurrency, 10)
	cfg.PrepareTimeout = cmp.Or(cfg.PrepareTimeout, 2*time.Minute)
	cfg.CreateTimeout = cmp.Or(cfg.CreateTimeout, 10*time.Minute)
	cfg.CreateDeadline = cmp.Or(cfg.CreateDeadline, 20*time.Minute)
	cfg.DestroyTimeout = cmp.Or(cfg.DestroyTimeout, 5*time.Minute)
	cfg.SlowAfter = cmp.Or(cfg.SlowAfter, 5*time.Second)
	cfg.WorkLease = cmp.Or(cfg.WorkLease, 15*time.Second)
	cfg.Tick = cmp.Or(cfg.Tick, 15*time.Second)
	cfg.SweepEvery = cmp.Or(cfg.SweepEvery, 30*time.Second)
	cfg.ProbeEvery = cmp.Or(cfg.ProbeEvery, recovery.ProbeEvery)
	cfg.OrphanGrace = cmp.Or(cfg.OrphanGrace, 60*time.Second)
	cfg.CheckEvery = cmp.Or(cfg.CheckEvery, prober.DefaultEvery)
	if cfg.Chance == nil {
		cfg.Chance = rand.Float64
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Engine{
		cfg: cfg, store: cfg.Store, blueprints: cfg.Blueprints, clock: clock.New(cfg.Clock, cfg.Wall),
		logger: cfg.Logger, labels: keys.Labels(), vault: keys,
		bus: bus.New(cfg.Chance), guard: guard.New(cfg.Logger, cfg.Tick),
	}
	e.certificates = certificates.New(cfg.Certificates)
	e.journal = journal.New(cfg.Store, e.clock, cfg.Instance, keys.ReceiptKey(), cfg.Logger)
	e.rows = journal.NewRows(e.store)
	if e.hosts, err = hosts.New(hosts.Config{
		Declared: cfg.Hosts, Store: e.store, Rows: e.rows, Neighbours: hostNews{e},
		Clock: e.clock, Bus: e.bus, Guard: e.guard, Logger: e.logger,
		Worker: cfg.Worker, Ended: cfg.Ended, Advertise: cfg.Advertise, WorkLease: cfg.WorkLease, Twin: cfg.Twin, NewID: cfg.NewID, Room: cfg.Room,
	}); err != nil {
		return nil, fmt.Errorf("make engine: %w", err)
	}
	e.reconcile = reconcile.New(reconcile.Config{
		Store: e.store, Clock: e.clock, Bus: e.bus, Journal: e.journal, Logger: e.logger,
		Pools: planPools{e}, Hosts: e.hosts, Recovery: planRecovery{e}, NewID: acquire.NewID,
		Weights: cfg.Weights, Worker: cfg.Worker, Advertise: cfg.Advertise, Ended: cfg.Ended,
		Concurrency: cfg.Concurrency, CreateDeadline: cfg.CreateDeadline, WorkLease: cfg.WorkLease, Tick: cfg.Tick,
	})
	e.catalogue = pools.New(pools.Config{
		Store: e.store, Rows: e.rows, Journal: e.journal, Bus: e.bus, Clock: e.clock, Logger: e.logger,
		Planner: poolPlanner{e.reconcile}, Offer: acquire.Catalogue{Blueprints: e.blueprints}, File: cfg.Pools,
	})
	e.life, e.endLife = context.WithCancel(context.Background())
	e.observe()
	e.recover()
	e.evidence = evidence.New(e.store, e.clock, e.journal, e.health)
	e.worker = worker.New(worker.Config{
		Store: e.store, Clock: e.clock, Bus: e.bus, Guard: e.guard, Journal: e.journal, Rows: e.rows, Evidence: e.evidence, Logger: e.logger,
		Labels: e.labels, Blueprints: e.blueprints, Hosts: workHosts{e.hosts}, Holds: workHolds{e.hosts, e}, Recovery: e.safeMode,
		Sessions: workSessions{e}, Vault: e.vault, CreateTimes: e.reconcile.CreateTimes(), Certificates: e.certificates,
		Instance: cfg.Instance, Worker: cfg.Worker, Concurrency: cfg.Concurrency,
		CreateTimeout: cfg.CreateTimeout, CreateDeadline: cfg.CreateDeadline, PrepareTimeout: cfg.PrepareTimeout,
		DestroyTimeout: cfg.DestroyTimeout, SlowAfter: cfg.SlowAfter, WorkLease: cfg.WorkLease, Tick: cfg.Tick,
	})
	e.sweep()
	e.warmpool = warmpool.New(warmpool.Config{
		Store: e.store, Hosts: e.hosts, Doubts: e.doubts, Journal: e.journal, Bus: e.bus, Clock: e.clock, Guard: e.guard, Logger: e.logger,
		Every: cfg.SweepEvery,
	})
	e.followers = bus.NewFollowers(e.store, e.cfg.Chance)
	e.Requests = acquire.New(acquire.Config{
		Store: e.store, Clock: e.clock, Bus: e.bus, Followers: e.followers, Journal: e.journal, Logger: e.logger,
		Blueprints: e.blueprints, Offers: e.catalogue, Hosts: e.hosts, Planner: e.reconcile, Safety: e.safeMode, Doubts: e.doubts,
		Warm: e.warmpool, Vault: e.vault, Certificates: e.certificates, Worker: cfg.Worker, WorkLease: cfg.WorkLease, NewName: cfg.NewName,
	})
	e.pruner = retention.New(retention.Config{
		Store: e.store, Clock: e.clock, Bus: e.bus, Logger: e.logger, Lead: e.reconcile.Leader(), Safety: e.safeMode,
		Keep: cfg.Retention, WorkLease: cfg.WorkLease,
	})
	e.prober = prober.New(e.bus, e.guard, cfg.CheckEvery, e.allAsked())
	return e, nil
}

// Now is the engine's clock, in UTC and as exact as the store keeps it.
func (e *Engine) Now() time.Time { return e.clock.Now() }

// Instance is this installation's id, in the labels of all it creates.
func (e *Engine) Instance() string { return e.cfg.Instance }

// Run recovers what an earlier process left, then controls and works until ctx
// ends. It then takes no more work and waits for what is running: up to grace
// for it to end by itself, after that it is interrupted and its interruption recorded.
func (e *Engine) Run(ctx context.Context, grace time.Duration) error {
	defer e.endLife()
	if err := e.begin(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop before it had begun
		}
		return err
	}
	// Work outlives ctx by the grace, so that Terraform may finish.
	workCtx, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	// Hosts are held for as long as anything runs on them.
	holdCtx, stopHolding := context.WithCancel(context.WithoutCancel(ctx))

	var loops, holding sync.WaitGroup
	e.guard.KeepUp(holdCtx, &holding, "the holding of hosts", func() { e.hosts.Run(holdCtx) })
	e.guard.KeepUp(ctx, &loops, "the bid for the lead", func() { e.reconcile.Leader().Run(ctx) })
	for what, run := range map[string]func(context.Context){
		"the controller": e.reconcile.Run, "the probers of hosts": e.hosts.Probe, "the sweeps": e.sweeper.Run, "the measuring of use": e.meter.Run,
		"the care of warm environments": e.warmpool.Run, "the notices": e.liveness.Run, "the notices of want of memory": e.memory.Run, "the wake-ups by other daemons": e.wakeLoop,
		"the marks at the engines": e.engineMarks.Run, "the prober of the database": e.health.Run, "the prober of the checks": e.prober.Run,
		"the pruning of records": e.pruner.Run, "the preparation of blueprints": e.worker.PrepareAhead, "the tries of what is back": e.worker.TryAgain,
	} {
		e.guard.KeepUp(ctx, &loops, what, func() { run(ctx) })
	}
	e.guard.KeepUp(ctx, &loops, "the start of work", func() { e.worker.Run(ctx, workCtx) })
	<-ctx.Done()
	loops.Wait()

	idle := e.worker.Idle()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
		e.logger.Warn("interrupting what is still running", "grace", grace)
		stopWork()
		<-idle
	}
	e.warmpool.Close()
	stopHolding()
	holding.Wait()
	e.endLife()
	e.guard.EndsSoon()
	e.engineMarks.Leave(ctx)
	return nil
}

// begin does what must be right before anything is decided.
func (e *Engine) begin(ctx context.Context) error {
	last, err := e.clock.Start(ctx, e.store, e.cfg.AcceptClock, e.logger)
	if err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	e.evidence.LookedBefore(last.At)
	if err := vault.CheckKey(ctx, e.store, e.cfg.Secret); err != nil {
		return err
	}
	if err := e.safeMode.Begin(ctx); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	e.hosts.FirstLook(ctx)
	if err := e.hosts.Declare(ctx); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	if e.cfg.Began == nil {
		return nil
	}
	return e.cfg.Began()
}

// wakeLoop passes on what other daemons have changed.
func (e *Engine) wakeLoop(ctx context.Context) {
	err := e.store.Wakes(ctx, func(environmentID string) {
		if environmentID == "" {
			// It may be of an event of none, or some may have been missed.
			e.followers.NotifyAll()
		} else {
			e.followers.Notify(environmentID)
		}
		e.bus.Nudge(bus.Plan, bus.Work)
	}, e.followers.NotifyLog)
	if err != nil && ctx.Err() == nil {
		e.logger.Error("other daemons' changes are seen late", "error", err)
	}
}
