package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/bothy-env/bothy/internal/engine/acquire"
	"github.com/bothy-env/bothy/internal/engine/doctor"
	"github.com/bothy-env/bothy/internal/engine/recovery"
	"github.com/bothy-env/bothy/internal/engine/retention"
	"github.com/bothy-env/bothy/internal/engine/sweep"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/engine/worker"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// Host is an engine host that this daemon can reach.
type Host = target.Host

// Config configures a Daemon. Zero durations and counts mean their defaults.
type Config struct {
	Store *store.Store
	// Blueprints is the catalogue. Its List is sorted by name, its Dir also finds digests that users can no longer request.
	Blueprints interface {
		acquire.Blueprints
		worker.Blueprints
	}
	// Hosts are the engine hosts that this daemon can reach. It serves those that no other daemon serves.
	Hosts []Host
	// Instance is the id of this installation. Worker is that of this process, "<daemon>.<process>". Ended are workers of this
	// daemon that are known to have ended: a later process of the daemon takes over their work at once.
	Instance, Worker string
	Ended            []string
	// Twin is a living worker of another process with the id of this daemon, found at the start; "" for none. This daemon has
	// another id now. NewID gives the state directory another id from the next start, if a twin is found later.
	Twin  string
	NewID func() error
	// Advertise is the address of this daemon's API for users of other daemons; "" if unknown.
	Advertise string
	// Secret is the master key of the installation. The keys of labels, states, secrets and receipts derive from it.
	Secret []byte
	Logger *slog.Logger

	// Weights returns all teams with their shares of scarce capacity. nil, or none: any team, with equal shares.
	Weights func() []fleet.Weight
	// Pools reads the pools of the platform team's file, which the store follows; nil without a file.
	Pools func() ([]fleet.Pool, error)
	// Marks stores how far the records are, to detect a lost or restored database.
	Marks recovery.Marks
	// Restored is why the database is known to be behind; "" if unknown.
	Restored string
	// Began, if not nil, is called when nothing can refuse the start any more, before any work. Room, if not nil, returns an error if this
	// machine's disk has no room for another environment.
	Began, Room func() error

	// Variables are those of every command in every sandbox, NAME=value. Those of a request and of a command override them.
	Variables []string
	// Certificates, if not nil, returns those of authorities that programs in sandboxes trust, in PEM; nil for none.
	Certificates func() []byte
	// Concurrency is how many environments may be in creation at once (default 10).
	Concurrency int
	worker.Times
	// SweepEvery is the time between two sweeps (default 30 s), ProbeEvery between two probes of the database (default 15 s), CheckEvery
	// between two rounds of checks (default 5 s).
	SweepEvery, ProbeEvery, CheckEvery time.Duration
	// OrphanGrace is how long an orphan is only reported (default 60 s).
	OrphanGrace time.Duration
	// Retention is how long to keep records (default: forever).
	Retention retention.Periods
	// Clock replaces the daemon's own clock, which no jump of the machine's clock moves; for tests. Wall reads the machine's clock (default
	// time.Now).
	Clock, Wall func() time.Time
	// AcceptClock starts at the time of the machine (or the database), even if elapsed time contradicts it.
	AcceptClock bool
	// Chance draws from [0, 1), to spread retries (default: math/rand).
	Chance func() float64
	// NewName generates a name for a request without one (default: two words and a number).
	NewName func() string
	// ExtraChecks run beside the daemon's own checks, CostlyChecks once a minute.
	ExtraChecks, CostlyChecks []func(context.Context) doctor.Check
	// Left are hosts that this daemon no longer declares, of which this machine still has files.
	Left []sweep.LeftHost
}

// NewID makes the id of an installation or a process.
func NewID() string { return acquire.NewID()[:8] }
