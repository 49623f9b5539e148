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
	"sync"
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
	Driver     provisioner.Driver
	Runtime    provisioner.Runtime
	// Networks is nil when the runtime keeps none.
	Networks provisioner.NetworkKeeper
	// Instance is this installation's id, Worker this process's.
	Instance, Worker string
	// Secret is the installation's master key; the keys of labels and states are derived from it.
	Secret []byte
	Logger *slog.Logger

	// Concurrency is how many environments may be in the making at once (default 10).
	Concurrency int
	// CreateTimeout bounds one try to create (default 10 min), CreateDeadline all tries (default 20 min).
	CreateTimeout, CreateDeadline time.Duration
	// DestroyTimeout bounds one try to destroy (default 5 min).
	DestroyTimeout time.Duration
	// WorkLease is how long a worker may be silent (default 20 s).
	WorkLease time.Duration
	// Tick is the longest time between two plans (default 10 s), SweepEvery between two sweeps (default 30 s).
	Tick, SweepEvery time.Duration
	// Clock is read once per decision; time.Now when nil.
	Clock func() time.Time
	// ExtraChecks are asked by Checks beside the engine's own.
	ExtraChecks []func(context.Context) Check
}

// Engine acts on environments. Make one with New, then Run it.
type Engine struct {
	cfg        Config
	store      *store.Store
	blueprints Blueprints
	driver     provisioner.Driver
	runtime    provisioner.Runtime
	networks   provisioner.NetworkKeeper
	logger     *slog.Logger

	labels   provisioner.Key
	sealer   *sealer
	watchers watchers
	running  running
	ready    readiness

	planNudge chan struct{}
	workNudge chan struct{}
}

// New checks the configuration and derives keys. It starts nothing.
func New(cfg Config) (*Engine, error) {
	if cfg.Store == nil || cfg.Blueprints == nil || cfg.Driver == nil || cfg.Runtime == nil {
		return nil, errors.New("make engine: store, blueprints, driver and runtime are needed")
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
	cfg.WorkLease = cmp.Or(cfg.WorkLease, 20*time.Second)
	cfg.Tick = cmp.Or(cfg.Tick, 10*time.Second)
	cfg.SweepEvery = cmp.Or(cfg.SweepEvery, 30*time.Second)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	e := &Engine{
		cfg: cfg, store: cfg.Store, blueprints: cfg.Blueprints, driver: cfg.Driver, runtime: cfg.Runtime,
		networks: cfg.Networks, logger: cfg.Logger, labels: labels, sealer: sealer,
		planNudge: make(chan struct{}, 1), workNudge: make(chan struct{}, 1),
	}
	e.ready.e = e
	return e, nil
}

// Now is the engine's clock, in UTC and as exact as the store keeps it.
func (e *Engine) Now() time.Time { return e.cfg.Clock().UTC().Truncate(time.Microsecond) }

// Instance is this installation's id, in the labels of all it creates.
func (e *Engine) Instance() string { return e.cfg.Instance }

// Run recovers what an earlier process left, then controls and works until ctx
// ends. It then takes no more work and waits for what is running: up to grace
// for it to end by itself, after that it is interrupted and its interruption recorded.
func (e *Engine) Run(ctx context.Context, grace time.Duration) error {
	if err := e.recover(ctx); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	// Work outlives ctx by the grace, so that Terraform may finish.
	workCtx, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()

	var loops sync.WaitGroup
	loops.Go(func() { e.control(ctx) })
	loops.Go(func() { e.dispatch(ctx, workCtx) })
	loops.Go(func() { e.sweepLoop(ctx) })
	loops.Go(func() { e.prepareAhead(ctx) })
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
	return nil
}

// recover frees the work of processes that are no more: the lock on the state
// directory says that this is the only one.
func (e *Engine) recover(ctx context.Context) error {
	n, err := e.store.ReleaseWorkers(ctx, e.cfg.Worker)
	if err != nil {
		return err
	}
	if n > 0 {
		e.logger.Info("took over work that was cut off", "environments", n)
	}
	return nil
}

// prepareAhead gets the blueprints ready before anybody asks, so that the first
// request is as quick as the next. What fails here fails again, and is told, when it is needed.
func (e *Engine) prepareAhead(ctx context.Context) {
	for _, bp := range e.blueprints.List() {
		err := e.driver.Prepare(ctx, driverBlueprint(bp.Ref, bp.Dir))
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			e.logger.Warn("a blueprint is not ready", "blueprint", bp.Ref, "error", err)
		}
	}
}

// change writes a row and tells whoever watches it.
func (e *Engine) change(ctx context.Context, id string, expect store.Expect, fn func(*fleet.Environment) (store.Writes, error)) (fleet.Environment, error) {
	env, err := e.store.Change(ctx, id, expect, fn)
	if err == nil {
		e.watchers.notify(id)
	}
	return env, err
}

// event makes an entry of the record.
func (e *Engine) event(env *fleet.Environment, actor, kind, format string, args ...any) fleet.Event {
	return fleet.Event{
		At: e.Now(), EnvironmentID: env.ID, Kind: kind, Actor: actor, Message: fmt.Sprintf(format, args...),
	}
}

// actorSelf is the actor of what nobody asked for.
const actorSelf = "bothyd"

// loop calls once now, and again whenever it is woken or the time that once
// returned has passed, until ctx ends. A nil wake never wakes it.
func loop(ctx context.Context, wake <-chan struct{}, once func() time.Duration) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-timer.C:
		}
		timer.Reset(once())
	}
}

// nudge wakes a loop without ever blocking; one pending wake-up is enough.
func nudge(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
