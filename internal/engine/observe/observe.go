// Package observe looks at the sandboxes that run: whether somebody uses them, what they take, whether one ran out of memory, ended or
// was restarted. It starts again what that mends and ends what it does not. Making and removing sandboxes is others'.
package observe

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
	// All are those that this daemon declares.
	All() []*target.Host
	// Find gives one of them; nil for another.
	Find(name string) *target.Host
	// Serves reports whether this daemon acts on one now.
	Serves(name string) bool
}

// Config is what the room's parts are made of.
type Config struct {
	Store   *store.Store
	Hosts   Hosts
	Rows    *journal.Rows
	Journal *journal.Journal
	Bus     *bus.Bus
	Clock   *clock.Clock
	Guard   *guard.Guard
	Logger  *slog.Logger
	// Instance and Labels tell the installation's own resources.
	Instance string
	Labels   provisioner.Key
	// FindLost ends an environment whose sandbox was not found, once that is certain.
	FindLost func(context.Context, *target.Host, fleet.Environment) error
	// Tick is the longest wait of what is to be quick, SweepEvery the time between two looks at everything.
	Tick, SweepEvery time.Duration
}
