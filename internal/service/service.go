// Package service has the use cases of bothy, one type per noun. The edge authenticates the caller and checks the role that a route
// requires. Whether the caller may use a certain environment depends on its row, so this package checks that. It is the only package that
// edges (internal/api) import: they declare which methods they call.
package service

import (
	"log/slog"
	"time"

	"github.com/bothy-env/bothy/internal/engine/acquire"
	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/engine/doctor"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/engine/pools"
	"github.com/bothy-env/bothy/internal/engine/recovery"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// The types of rooms that edges pass or receive follow. acquire.Requests, pools.Catalogue, reconcile.Limiter and prober.Prober are use
// cases themselves: edges get them as they are.

type (
	// Request asks for an environment.
	Request = acquire.Request
	// Acquired is the environment that a request got.
	Acquired = acquire.Acquired
	// Quote is what a request would get and cost.
	Quote = acquire.Quote
	// PoolStatus is a pool with the state of its members.
	PoolStatus = pools.Status
	// Doubt is an environment whose state a restore made uncertain.
	Doubt = recovery.Doubt
	// Check is one result of doctor.
	Check = doctor.Check
	// Filter selects environments for Environments.List.
	Filter = store.Filter
)

// Statuses of a check.
const (
	OK      = doctor.OK
	Warning = doctor.Warning
	Down    = doctor.Down
)

// Base is what all use cases share.
type Base struct {
	Store     *store.Store
	Clock     *clock.Clock
	Bus       *bus.Bus
	Journal   *journal.Journal
	Followers *bus.Followers
	Logger    *slog.Logger
	// Access is made by New.
	Access *Access
}

// Blueprints are those that users can request.
type Blueprints interface {
	// Get returns a blueprint by name or name@version, List all by name.
	Get(name string) (fleet.Blueprint, error)
	List() []fleet.Blueprint
}

// Work is the work of this process on environments.
type Work interface {
	// CancelCreate stops the creation of an environment, if this process creates it.
	CancelCreate(id string)
	// Cause returns why the deletion of an environment takes long, and the next step; "" if it does not.
	Cause(env fleet.Environment, now time.Time) (sentence, next string)
}

// larger returns the next size of an environment's blueprint with more memory.
func larger(blueprints Blueprints, env fleet.Environment) (fleet.Size, bool) {
	bp, err := blueprints.Get(env.Blueprint.Name + "@" + env.Blueprint.Version)
	if err != nil {
		return fleet.Size{}, false
	}
	return bp.LargerThan(env.Size)
}
