// Package acquire serves a request for an environment: it matches a warm one of a pool, asks the quotas for admission, claims it or records
// a pending one, and waits until the claimed one is handed over. Its decision is one transaction; creating, freezing and deleting
// environments is the job of other rooms.
package acquire

import (
	"context"
	"log/slog"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// Offers are the prices and pools now.
type Offers interface {
	// Offered returns all rates that were set, and all pools.
	Offered(ctx context.Context) (rates []fleet.Rate, pools []plan.Pool, err error)
}

// Hosts are the hosts of this daemon.
type Hosts interface {
	// Room returns an error if the disk has no room for another environment.
	Room() error
	// Serves reports whether this daemon acts on a host now.
	Serves(name string) bool
}

// Planner makes plans.
type Planner interface {
	// Snapshot returns what a plan is computed from.
	Snapshot(ctx context.Context, now time.Time) (plan.Snapshot, error)
}

// Safety detects a database that was set back.
type Safety interface {
	// LookBehind checks whether the database was set back.
	LookBehind(ctx context.Context) error
	// LookAndMark checks it, and saves how far its records are.
	LookAndMark(ctx context.Context) error
	// NoteMarks saves how far the records are.
	NoteMarks() error
}

// Doubts are environments that somebody uses whom the database does not know.
type Doubts interface {
	// Disbelieve records that an environment was used before, if it still is as unused says. unknown reports that it did.
	Disbelieve(ctx context.Context, id string, unused func(*fleet.Environment) bool) (unknown bool, err error)
}

// Warm are the warm environments of this daemon.
type Warm interface {
	// HandOver checks a claimed environment and delivers files to it. After an error it must not be used.
	HandOver(ctx context.Context, env fleet.Environment, files []provisioner.File) error
}

// Vault encrypts secrets until their delivery.
type Vault interface {
	// Digest is a keyed hash of a secret.
	Digest(value []byte) string
	SealSecrets(env *fleet.Environment, secrets map[string][]byte) ([]byte, error)
	// Secrets reads the sealed secrets of an environment. AsFiles returns secrets as files to deliver.
	Secrets(ctx context.Context, env fleet.Environment) (map[string][]byte, error)
	AsFiles(secrets map[string][]byte) []provisioner.File
}

// Certificates are those of the installation's own authorities.
type Certificates interface {
	// Files returns them as files to deliver. Handed notes which files a sandbox has.
	Files() []provisioner.File
	Handed(env fleet.Environment, files []provisioner.File)
}

// Config is what Requests need.
type Config struct {
	Store     *store.Store
	Clock     *clock.Clock
	Bus       *bus.Bus
	Followers *bus.Followers
	Journal   *journal.Journal
	Logger    *slog.Logger

	Blueprints   Blueprints
	Offers       Offers
	Hosts        Hosts
	Planner      Planner
	Safety       Safety
	Doubts       Doubts
	Warm         Warm
	Vault        Vault
	Certificates Certificates

	// Worker is the id of this process, WorkLease how long a worker may be silent.
	Worker    string
	WorkLease time.Duration
	// NewName generates a name for a request without one (default: NewName).
	NewName func() string
}

// Requests serves requests for environments.
type Requests struct {
	cfg       Config
	catalogue Catalogue
}

// New makes Requests.
func New(c Config) *Requests {
	if c.NewName == nil {
		c.NewName = NewName
	}
	return &Requests{cfg: c, catalogue: Catalogue{c.Blueprints}}
}
