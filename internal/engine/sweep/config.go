// Package sweep compares what hosts list with what is recorded, the inventory diff: what no environment accounts for is an orphan, what
// outlived its environment goes, and an environment whose sandbox is gone ends. It sees to what is kept on this machine as well.
package sweep

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/engine/guard"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// Hosts are what sandboxes run on.
type Hosts interface {
	// All are those that this daemon declares, Names what they are called.
	All() []*target.Host
	Names() []string
	// Host gives one of them. Code unavailable: only another daemon can reach it.
	Host(name string) (*target.Host, error)
	// Served are those that this daemon acts on at a time, and Serves reports whether it does so with one now.
	Served(now time.Time) []string
	Serves(name string) bool
}

// Safety is whether the database can be believed.
type Safety interface {
	// Reason is why it cannot be, "" when it can.
	Reason(ctx context.Context) (string, error)
	// LookBehind looks whether it has fallen behind.
	LookBehind(ctx context.Context) error
	// LookAndMark looks, and saves how far its records are.
	LookAndMark(ctx context.Context) error
}

// Marks are the marks at the engines of how far the records are.
type Marks interface {
	// Ahead says how a resource shows that the database does not know all; "" when it does not.
	Ahead(ctx context.Context, f provisioner.Found, env fleet.Environment, known bool) (string, error)
	// Believe gets what a list shows of that, and returns why the database cannot be believed, "" when it can.
	Believe(ctx context.Context, h *target.Host, ahead string, marks []provisioner.Found) (reason string, err error)
	// Keep keeps one mark at an engine where something of an environment stands.
	Keep(ctx context.Context, h *target.Host, stands bool, marks []provisioner.Found) error
}

// Evidence keeps what was seen.
type Evidence interface {
	// Listed gets what a list shows of a host's environments.
	Listed(host string, envs map[string]fleet.Environment, listed []provisioner.Found)
	// LastSight is when something of an environment that is gone was last known to exist.
	LastSight(row fleet.Environment, now time.Time) time.Time
}

// Sandboxes are looked after by others.
type Sandboxes interface {
	// LookAtListed looks closer at what a complete list shows not to run.
	LookAtListed(ctx context.Context, h *target.Host, envs map[string]fleet.Environment, idle map[string]bool) error
	// Befell notes what happened to one, for doctor.
	Befell(env fleet.Environment, what string)
}

// Certificates are those of the installation's own authorities.
type Certificates interface {
	// Renew gives them to leased sandboxes of a host that lack them.
	Renew(ctx context.Context, h *target.Host, envs map[string]fleet.Environment) error
}

// Ended knows of sandboxes that this process removed without a record.
type Ended interface {
	// EndedAt is when it removed an environment's.
	EndedAt(id string) (at time.Time, ok bool)
}

// Config is what a Sweeper is made of.
type Config struct {
	Store     *store.Store
	Rows      *journal.Rows
	Journal   *journal.Journal
	Bus       *bus.Bus
	Clock     *clock.Clock
	Guard     *guard.Guard
	Logger    *slog.Logger
	Hosts     Hosts
	Safety    Safety
	Marks     Marks
	Evidence  Evidence
	Sandboxes Sandboxes
	Ended     Ended
	// Certificates are given to every sandbox.
	Certificates Certificates
	// Reserved gives the networks that were reserved and are in no row yet.
	Reserved func() []provisioner.Attachment
	// Instance and Labels tell the installation's own resources.
	Instance string
	Labels   provisioner.Key
	// Every is the time between two sweeps, Grace how long an orphan is only reported (default 60 s).
	Every, Grace time.Duration
}

// Sweeper sweeps the hosts that this daemon serves.
type Sweeper struct {
	cfg Config
	// Local is what it sweeps on this machine.
	Local   *Local
	orphans *orphanage
}

// New makes a sweeper. local is what it sweeps on this machine.
func New(c Config, local *Local) *Sweeper {
	c.Grace = cmp.Or(c.Grace, time.Minute)
	return &Sweeper{cfg: c, Local: local, orphans: newOrphanage(c.Hosts.Names())}
}
