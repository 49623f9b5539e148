package engine

import (
	"context"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// Filter selects environments for List.
type Filter = store.Filter

// find gives an environment that who may see; another tenant's is not there for them.
func (e *Engine) find(ctx context.Context, who fleet.Identity, nameOrID string) (fleet.Environment, error) {
	return e.store.Find(ctx, who.Sees(), nameOrID)
}

// Find gives an environment by name or id: a live one first, else the latest gone one of that name.
//
// Errors: not_found, also for another tenant's.
func (e *Engine) Find(ctx context.Context, who fleet.Identity, nameOrID string) (fleet.Environment, error) {
	return e.find(ctx, who, nameOrID)
}

// List gives one page of environments, newest first, and the cursor of the next page ("" at the end).
func (e *Engine) List(ctx context.Context, who fleet.Identity, f Filter) ([]fleet.Environment, string, error) {
	if tenant := who.Sees(); tenant != "" {
		f.Tenant = tenant
	}
	return e.store.List(ctx, f)
}

// Events gives entries of the record after a sequence number, oldest first: of an environment, a
// pool or a host, or all that who may see.
//
// Errors: not_found.
func (e *Engine) Events(ctx context.Context, who fleet.Identity, q EventQuery) ([]fleet.Event, error) {
	f, err := e.eventFilter(ctx, who, q)
	if err != nil {
		return nil, err
	}
	return e.store.EventsBy(ctx, f)
}

func (e *Engine) eventFilter(ctx context.Context, who fleet.Identity, q EventQuery) (store.EventFilter, error) {
	f := store.EventFilter{Pool: q.Pool, Host: q.Host, Tenant: who.Sees(), After: q.After, Limit: q.Limit, Newest: q.Newest}
	if q.Environment == "" {
		return f, nil
	}
	env, err := e.find(ctx, who, q.Environment)
	// Its record begins before it had a tenant, when it was made for a pool.
	f.EnvironmentID, f.Tenant = env.ID, ""
	return f, err
}

// WatchEvents calls write with the entries there are and then with each that is added, until ctx ends.
//
// Errors: not_found, ctx's error, write's error.
func (e *Engine) WatchEvents(ctx context.Context, who fleet.Identity, q EventQuery, write func([]fleet.Event) error) error {
	f, err := e.eventFilter(ctx, who, q)
	if err != nil {
		return err
	}
	f.Limit, f.Newest = eventPage, false // What is followed is followed from its beginning.
	for {
		events, err := e.store.EventsBy(ctx, f)
		if err != nil {
			return err
		}
		if len(events) > 0 {
			if err := write(events); err != nil {
				return err
			}
			f.After = events[len(events)-1].Seq
		}
		if len(events) == eventPage {
			continue
		}
		if err := waitFor(ctx, nil, logPoll); err != nil {
			return err
		}
	}
}

// Blueprints gives all blueprints, by name.
func (e *Engine) Blueprints() []fleet.Blueprint { return e.blueprints.List() }

// Blueprint gives one by name or name@version.
func (e *Engine) Blueprint(name string) (fleet.Blueprint, error) { return e.blueprints.Get(name) }
