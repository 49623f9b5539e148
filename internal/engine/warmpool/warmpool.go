// Package warmpool keeps warm environments ready: each is well, has an exec session opened ahead of its use, and is frozen if its pool
// says so. At a claim it thaws one and delivers through that session. Which environments a pool has is decided by plans.
package warmpool

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
)

// Hosts are what sandboxes run on.
type Hosts interface {
	// Names are those that this daemon declares.
	Names() []string
	// Host gives one of them. Code unavailable: only another daemon can reach it.
	Host(name string) (*target.Host, error)
	// Served are those that this daemon acts on at a time.
	Served(now time.Time) []string
}

// Doubts are about a database that may not know what is in use.
type Doubts interface {
	// LookForUse looks once for signs that a doubted sandbox is in use.
	LookForUse(ctx context.Context, env fleet.Environment)
	// Disbelieve takes a sandbox that was found to be used although the database says that nobody has used it. It reports whether
	// the database is in doubt about it.
	Disbelieve(ctx context.Context, id string, unused func(*fleet.Environment) bool) (unknown bool, err error)
}

// Config is what a Keeper is made of.
type Config struct {
	Store   *store.Store
	Hosts   Hosts
	Doubts  Doubts
	Journal *journal.Journal
	Bus     *bus.Bus
	Clock   *clock.Clock
	Guard   *guard.Guard
	Logger  *slog.Logger
	// Every is the time between two looks at all.
	Every time.Duration
}

// Keeper keeps this daemon's warm environments.
type Keeper struct {
	cfg     Config
	members members
}

// New makes a keeper.
func New(c Config) *Keeper { return &Keeper{cfg: c} }
