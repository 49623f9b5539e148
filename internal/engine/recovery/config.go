// Package recovery is about a database that was lost or restored, and so knows less than there is: how that is seen (by marks of how far
// its records were), that nothing of before is touched until people decide, and what is done as they decide.
package recovery

import (
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
	// Names are those that this daemon declares.
	Names() []string
	// Find gives one of them; nil for another.
	Find(name string) *target.Host
	// Usable are those that work can be given, as far as is known.
	Usable() []*target.Host
	// Served are those that this daemon acts on at a time, and Serves reports whether it does so with one now.
	Served(now time.Time) []string
	Serves(name string) bool
}

// Blueprints are those that are offered.
type Blueprints interface {
	// Get gives a blueprint by name or name@version.
	Get(name string) (fleet.Blueprint, error)
}

// Config is what the room's parts are made of.
type Config struct {
	Store      *store.Store
	Hosts      Hosts
	Blueprints Blueprints
	Journal    *journal.Journal
	Bus        *bus.Bus
	Clock      *clock.Clock
	Guard      *guard.Guard
	Logger     *slog.Logger
	// Instance and Labels tell the installation's own resources.
	Instance string
	Labels   provisioner.Key
	// Marks keeps how far the records were; nil for none. Restored says why the database is known to be behind, "" when nothing is known
	// of that.
	Marks    Marks
	Restored string
	// Offered is a row of a blueprint as it is offered at a time, in a size at the price of then.
	Offered func(bp fleet.Blueprint, size fleet.Size, rates []fleet.Rate, at time.Time) fleet.Environment
	// Life ends with the daemon's.
	Life context.Context
}
