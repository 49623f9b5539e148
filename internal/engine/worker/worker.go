// Package worker does what is recorded: it takes work on hosts that this daemon serves, keeps it by a heartbeat, makes and destroys
// environments, proves that they are gone, and tries again what failed. It decides nothing about who gets what.
package worker

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/engine/doctor"
	"github.com/bothy-env/bothy/internal/engine/evidence"
	"github.com/bothy-env/bothy/internal/engine/guard"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// Blueprints is where golden paths are found.
type Blueprints interface {
	// List gives all that are offered, by name.
	List() []fleet.Blueprint
	// Dir gives the folder of a digest, also of one that is no longer offered.
	Dir(digest string) (string, error)
}

// Hosts are the engine hosts.
type Hosts interface {
	// Host returns the host of an environment. Code unavailable: only another daemon can reach it.
	Host(name string) (*target.Host, error)
	// All gives the declared ones, by name.
	All() []*target.Host
	// CheckName names a finding about a host.
	CheckName(what string, h *target.Host) string
}

// Readiness is whether a host can be used.
type Readiness interface {
	// Ups counts how often the host, or a blueprint on it, became ready again.
	Ups() int64
	// Back notes that environments may be made again, Forget makes the prober ask afresh at once.
	Back()
	Forget()
	// LookIfDown makes the prober of a host that could not be used ask at once.
	LookIfDown()
}

// Holds are the hosts that this daemon holds.
type Holds interface {
	// Serves reports whether it is the one that acts on a host now.
	Serves(name string) bool
	// RenewLapsed renews holds that ran out while this process was asleep.
	RenewLapsed(ctx context.Context) error
}

// Recovery is whether the database can be believed.
type Recovery interface {
	// LookAndMark looks whether it can, and saves how far its records are.
	LookAndMark(ctx context.Context) error
	// NoteGiven notes what cannot be taken back any more.
	NoteGiven()
}

// Sessions are ways into sandboxes.
type Sessions interface {
	// MakeReady prepares a pool's new member for its claim. paused says that it was frozen.
	MakeReady(ctx context.Context, h *target.Host, env fleet.Environment) (paused bool, err error)
	// Deliver proves that a sandbox works and puts files into its secrets folder.
	Deliver(ctx context.Context, h *target.Host, env fleet.Environment, files []provisioner.File) error
}

// Claims hand environments over.
type Claims interface {
	// HandOver gives a claimed environment to its holder. An error says that it is to be tried again.
	HandOver(ctx context.Context, env fleet.Environment) error
}

// Vault seals states of drivers and keeps secrets.
type Vault interface {
	SealState(environmentID string, state []byte) []byte
	OpenState(environmentID string, sealed []byte) ([]byte, error)
	// Files gives the secrets that wait for delivery to an environment.
	Files(ctx context.Context, env fleet.Environment) ([]provisioner.File, error)
}

// Certificates are those of the installation's own authorities.
type Certificates interface {
	// Files gives them as files to deliver; nil for none. Handed records which files a sandbox got.
	Files() []provisioner.File
	Handed(env fleet.Environment, files []provisioner.File)
}

// CreateTimes keep how long creates take.
type CreateTimes interface {
	Note(digest string, took time.Duration)
}

// Config is what a Worker is made of.
type Config struct {
	Store      *store.Store
	Clock      *clock.Clock
	Bus        *bus.Bus
	Guard      *guard.Guard
	Journal    *journal.Journal
	Rows       *journal.Rows
	Evidence   *evidence.Evidence
	Logger     *slog.Logger
	Labels     provisioner.Key
	Blueprints Blueprints
	Hosts      Hosts
	Holds      Holds
	// Ready tells whether a declared host can be used. Workable gives the names of those that this daemon serves and whose database it
	// believes, as of now.
	Ready       func(name string) Readiness
	Workable    func() []string
	Recovery    Recovery
	Sessions    Sessions
	Claims      Claims
	Vault       Vault
	CreateTimes CreateTimes
	// Certificates are given to every sandbox.
	Certificates Certificates
	// Instance, Worker and Concurrency are those of the daemon's configuration.
	Instance, Worker string
	Concurrency      int
	Times
}

// Times are the limits of work. Zero means the default.
type Times struct {
	// CreateTimeout limits one try to create (default 10 min), CreateDeadline all tries (default 20 min), PrepareTimeout one try to
	// prepare a blueprint that nobody has requested yet (default 2 min), DestroyTimeout one try to destroy (default 5 min).
	CreateTimeout, CreateDeadline, PrepareTimeout, DestroyTimeout time.Duration
	// SlowAfter is how long a destroy may take before others may run beside it (default 5 s). After twice that time, its sandbox is
	// killed from the host.
	SlowAfter time.Duration
	// WorkLease is how long a worker, or a daemon that serves a host, may be silent (default 15 s).
	WorkLease time.Duration
	// Tick is the longest time between two plans (default 15 s).
	Tick time.Duration
}

// Or returns the times with their defaults.
func (t Times) Or() Times {
	t.CreateTimeout = cmp.Or(t.CreateTimeout, 10*time.Minute)
	t.CreateDeadline = cmp.Or(t.CreateDeadline, 20*time.Minute)
	t.PrepareTimeout = cmp.Or(t.PrepareTimeout, 2*time.Minute)
	t.DestroyTimeout = cmp.Or(t.DestroyTimeout, 5*time.Minute)
	t.SlowAfter = cmp.Or(t.SlowAfter, 5*time.Second)
	t.WorkLease = cmp.Or(t.WorkLease, 15*time.Second)
	t.Tick = cmp.Or(t.Tick, 15*time.Second)
	return t
}

// Worker takes work and does it.
type Worker struct {
	cfg        Config
	store      *store.Store
	clock      *clock.Clock
	bus        *bus.Bus
	guard      *guard.Guard
	journal    *journal.Journal
	evidence   *evidence.Evidence
	logger     *slog.Logger
	labels     provisioner.Key
	blueprints Blueprints
	hosts      Hosts

	running running
	tries   tries
	overdue overdue
	held    heldBlueprints
	// preparations tell which blueprints are not ready.
	preparations preparations
	// unwritten are the networks that were reserved and are in no row yet.
	unwritten sync.Map
}

// Each of these does one kind of work.
type (
	// maker makes environments.
	maker struct{ *Worker }
	// remover takes environments away.
	remover struct{ *Worker }
	// preparer gets blueprints ready.
	preparer struct{ *Worker }
)

// New makes a worker. It starts nothing.
func New(cfg Config) *Worker {
	return &Worker{
		cfg: cfg, store: cfg.Store, clock: cfg.Clock, bus: cfg.Bus, guard: cfg.Guard, journal: cfg.Journal, evidence: cfg.Evidence,
		logger: cfg.Logger, labels: cfg.Labels, blueprints: cfg.Blueprints, hosts: cfg.Hosts,
	}
}

// PrepareAhead gets the blueprints ready before anybody asks, until ctx ends.
func (w *Worker) PrepareAhead(ctx context.Context) { preparer{w}.run(ctx) }

// CancelCreate ends a create that nobody wants any more.
func (w *Worker) CancelCreate(environmentID string) { w.running.cancelCreate(environmentID) }

// Finish waits until nothing runs. What still runs after grace is interrupted. Call it when nothing new is taken any more.
func (w *Worker) Finish(grace time.Duration, interrupt func()) {
	idle := w.running.idle()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
		w.logger.Warn("interrupting what is still running", "grace", grace)
		interrupt()
		<-idle
	}
}

// Unwritten gives the networks that were reserved and are in no row yet.
func (w *Worker) Unwritten() (all []provisioner.Attachment) {
	w.unwritten.Range(func(at, _ any) bool {
		all = append(all, at.(provisioner.Attachment))
		return true
	})
	return all
}

// Cause says why an environment that is being destroyed is not gone yet; "" when it is not late.
func (w *Worker) Cause(env fleet.Environment, now time.Time) (sentence, next string) {
	return remover{w}.cause(env, now)
}

// CheckBlueprints tells of the blueprints that nothing can be made from on a host.
func (w *Worker) CheckBlueprints(h *target.Host) doctor.Check { return preparer{w}.check(h) }

// CheckHeld tells of blueprints that are held.
func (w *Worker) CheckHeld(ctx context.Context) doctor.Check { return w.held.check(ctx) }

// CheckRemoving tells how many environments are being deleted, and whether any should be gone by now.
func (w *Worker) CheckRemoving(ctx context.Context) doctor.Check { return remover{w}.check(ctx) }
