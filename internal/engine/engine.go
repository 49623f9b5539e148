// Package engine is the only place that acts. A request is decided and
// recorded by Acquire, Extend and Release; the controller plans from what the
// store holds; the runner does what is recorded. The three meet only in the
// store, so a crash at any point is picked up by the next tick.
package engine

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

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
	// process of the same daemon takes over at once what an earlier one held.
	Instance, Worker string
	// Advertise is the address at which people reach this daemon's API, for those who asked another one; "" when it is not known.
	Advertise string
	// Secret is the installation's master key; the keys of labels, states, secrets and receipts are derived from it.
	Secret []byte
	Logger *slog.Logger

	// Weights gives all teams that there are, with their shares of scarce capacity; nil, or none, for equal ones of any name.
	Weights func() []fleet.Weight
	// Pools are those of the platform team's file, kept in step with the store's; nil when there is no file.
	Pools func() ([]fleet.Pool, error)
	// KnownInstance is the installation that the state directory remembers, "" for none, and Marks
	// keeps how far the records were: a database behind them was lost or restored.
	KnownInstance string
	Marks         Marks

	// Concurrency is how many environments may be in the making at once (default 10).
	Concurrency int
	// CreateTimeout bounds one try to create (default 10 min), CreateDeadline all tries (default 20 min).
	CreateTimeout, CreateDeadline time.Duration
	// DestroyTimeout bounds one try to destroy (default 5 min).
	DestroyTimeout time.Duration
	// WorkLease is how long a worker, or a daemon that serves a host, may be silent (default 15 s).
	WorkLease time.Duration
	// Tick is the longest time between two plans (default 15 s), SweepEvery between two sweeps (default 30 s).
	Tick, SweepEvery time.Duration
	// OrphanGrace is how long an orphan is only reported (default 60 s).
	OrphanGrace time.Duration
	// Clock replaces the engine's own clock, which no jump of the machine's moves; for tests.
	Clock func() time.Time
	// Wall reads the machine's clock (default time.Now).
	Wall func() time.Time
	// NewName makes up a name for a request that gives none (default: two words and a number).
	NewName func() string
	// ExtraChecks are asked by Checks beside the engine's own.
	ExtraChecks []func(context.Context) Check
}

// Engine acts on environments. Make one with New, then Run it.
type Engine struct {
	cfg        Config
	store      *store.Store
	blueprints Blueprints
	hosts      *hosts
	clock      *clock
	logger     *slog.Logger

	labels provisioner.Key
	sealer *sealer
	vault  *vault
	// receiptKey signs receipts.
	receiptKey ed25519.PrivateKey
	// offers are read once for all requests that come at the same time.
	offers   sharedRead[offer]
	watchers watchers
	running  running
	tries    tries
	// preparations tell which blueprints are not ready.
	preparations preparations
	// unwritten are the networks that were reserved and are in no row yet.
	unwritten sync.Map
	stages    stages
	creates   createTimes
	poolFile  poolFile
	// plans says that this daemon's controller is the one that plans.
	plans   atomic.Bool
	orphans *orphanage
	meters  meters
	marks   keptMarks

	planNudge chan struct{}
	workNudge chan struct{}
	// holdNudge asks to hold hosts and to look whether they can be used, warmNudge to look at what is warm on them.
	holdNudge chan struct{}
	warmNudge chan struct{}
	// prepareNudge asks to get blueprints ready again, backNudge to try again what waited for something that is back.
	prepareNudge chan struct{}
	backNudge    chan struct{}
}

// New checks the configuration and derives keys. It starts nothing.
func New(cfg Config) (*Engine, error) {
	if cfg.Store == nil || cfg.Blueprints == nil {
		return nil, errors.New("make engine: store and blueprints are needed")
	}
	if cfg.Instance == "" || cfg.Worker == "" {
		return nil, errors.New("make engine: instance and worker ids are needed")
	}
	labels, sealer, err := deriveKeys(cfg.Secret)
	if err != nil {
		return nil, fmt.Errorf("make engine: %w", err)
	}
	cfg.Concurrency = cmp.Or(cfg.Concurrency, 10)
	cfg.CreateTimeout = cmp.Or(cfg.CreateTimeout, 10*time.Minute)
	cfg.CreateDeadline = cmp.Or(cfg.CreateDeadline, 20*time.Minute)
	cfg.DestroyTimeout = cmp.Or(cfg.DestroyTimeout, 5*time.Minute)
	cfg.WorkLease = cmp.Or(cfg.WorkLease, 15*time.Second)
	cfg.Tick = cmp.Or(cfg.Tick, 15*time.Second)
	cfg.SweepEvery = cmp.Or(cfg.SweepEvery, 30*time.Second)
	cfg.OrphanGrace = cmp.Or(cfg.OrphanGrace, 60*time.Second)
	if cfg.NewName == nil {
		cfg.NewName = newName
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Engine{
		cfg: cfg, store: cfg.Store, blueprints: cfg.Blueprints, clock: newClock(cfg.Clock, cfg.Wall),
		logger: cfg.Logger, labels: labels, sealer: sealer,
		planNudge: make(chan struct{}, 1), workNudge: make(chan struct{}, 1),
		holdNudge: make(chan struct{}, 1), warmNudge: make(chan struct{}, 1),
		prepareNudge: make(chan struct{}, 1), backNudge: make(chan struct{}, 1),
	}
	if e.receiptKey, err = newReceiptKey(cfg.Secret); err != nil {
		return nil, fmt.Errorf("make engine: %w", err)
	}
	if e.vault, err = newVault(cfg.Secret); err != nil {
		return nil, fmt.Errorf("make engine: %w", err)
	}
	if e.hosts, err = newHosts(e, cfg.Hosts); err != nil {
		return nil, fmt.Errorf("make engine: %w", err)
	}
	e.orphans = newOrphanage(e.hosts.names)
	e.offers.read = e.readOffer
	return e, nil
}

// Now is the engine's clock, in UTC and as exact as the store keeps it.
func (e *Engine) Now() time.Time { return e.clock.now().UTC().Truncate(time.Microsecond) }

// Instance is this installation's id, in the labels of all it creates.
func (e *Engine) Instance() string { return e.cfg.Instance }

// Run recovers what an earlier process left, then controls and works until ctx
// ends. It then takes no more work and waits for what is running: up to grace
// for it to end by itself, after that it is interrupted and its interruption recorded.
func (e *Engine) Run(ctx context.Context, grace time.Duration) error {
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
	holding.Go(func() { e.holdHosts(holdCtx) })
	loops.Go(func() { e.control(ctx) })
	loops.Go(func() { e.dispatch(ctx, workCtx) })
	loops.Go(func() { e.sweepLoop(ctx) })
	loops.Go(func() { e.stageLoop(ctx) })
	loops.Go(func() { e.wakeLoop(ctx) })
	loops.Go(func() { e.prepareAhead(ctx) })
	loops.Go(func() { e.tryAgainWhenBack(ctx) })
	<-ctx.Done()
	loops.Wait()

	idle := e.running.idle()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
		e.logger.Warn("interrupting what is still running", "grace", grace)
		stopWork()
		<-idle
	}
	e.closeStages()
	stopHolding()
	holding.Wait()
	e.leaveMarks(ctx)
	return nil
}

// begin does what must be right before anything is decided.
func (e *Engine) begin(ctx context.Context) error {
	if err := e.startClock(ctx); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	if err := e.checkKey(ctx); err != nil {
		return err
	}
	if err := e.beginSafely(ctx); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	if err := e.declareHosts(ctx); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	return nil
}

// wakeLoop passes on what other daemons have changed.
func (e *Engine) wakeLoop(ctx context.Context) {
	err := e.store.Wakes(ctx, func(environmentID string) {
		if environmentID == "" {
			e.watchers.notifyAll()
		} else {
			e.watchers.notify(environmentID)
		}
		nudge(e.planNudge)
		nudge(e.workNudge)
	})
	if err != nil && ctx.Err() == nil {
		e.logger.Error("other daemons' changes are seen late", "error", err)
	}
}

// change writes a row, books the time that its change of state ends, and tells whoever watches it.
func (e *Engine) change(ctx context.Context, id string, expect store.Expect, fn func(*fleet.Environment) (store.Writes, error)) (fleet.Environment, error) {
	now := e.Now()
	env, err := e.store.Change(ctx, id, expect, func(env *fleet.Environment) (store.Writes, error) {
		before := *env
		writes, err := fn(env)
		if err != nil {
			return store.Writes{}, err
		}
		err = e.book(&before, env, now, &writes)
		return writes, err
	})
	if err == nil {
		e.watchers.notify(id)
	}
	return env, err
}

// event makes an entry of the record.
func (e *Engine) event(env *fleet.Environment, actor, kind, format string, args ...any) fleet.Event {
	return fleet.Event{
		At: e.Now(), EnvironmentID: env.ID, Pool: env.Pool, Host: env.Host, Tenant: env.Tenant, Team: env.Team, User: env.Owner,
		Kind: kind, Actor: actor, Message: fmt.Sprintf(format, args...),
	}
}

// actorSelf is the actor of what nobody asked for.
const actorSelf = "bothyd"
