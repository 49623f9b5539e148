// Package pools has the pools that the platform team set, by hand or in a file, and the state of each. Other rooms keep their members
// ready, and plans say how many there should be.
package pools

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
)

// Planner is who plans.
type Planner interface {
	// Leads reports whether this daemon plans now.
	Leads() bool
	// Snapshot is what a plan is made from.
	Snapshot(ctx context.Context, now time.Time) (plan.Snapshot, error)
}

// Offered are the blueprints on offer.
type Offered interface {
	// Sized finds a blueprint and one of its sizes; empty names stand for what is usual.
	Sized(blueprint, size string) (fleet.Blueprint, fleet.Size, error)
	// Priced gives a size at the price in force at a time.
	Priced(size fleet.Size, bp fleet.Blueprint, rates []fleet.Rate, at time.Time) fleet.Size
}

// Config is what a Catalogue is made of.
type Config struct {
	Store   *store.Store
	Rows    *journal.Rows
	Journal *journal.Journal
	Bus     *bus.Bus
	Clock   *clock.Clock
	Logger  *slog.Logger
	Planner Planner
	Offer   Offered
	// File reads the platform team's file; nil when there is none.
	File func() ([]fleet.Pool, error)
}

// Catalogue is all pools.
type Catalogue struct {
	cfg  Config
	file poolFile
	// shared is what is offered to requests.
	shared bus.SharedRead[offer]
}

// New makes it.
func New(c Config) *Catalogue {
	all := &Catalogue{cfg: c}
	all.shared.Read = all.read
	return all
}

// Status is a pool, as it is set, with the state of its members.
type Status struct {
	fleet.Pool
	// Digest is what a member is made from now, TargetNow what the schedule says now.
	Digest    string
	TargetNow int
	// Warm are ready (Stale of them from an older digest), Making not ready yet, Leased were claimed and still live.
	Warm, Stale, Making, Leased int
	// Broken says why no member can be made; empty when one can.
	Broken string
	// Stuck says why members of an older digest, or on a drained host, cannot be replaced as things are, and StuckHint
	// what to do; empty when there are none, or it goes on.
	Stuck, StuckHint string
}
