package engine

import (
	"context"
	"strings"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// Filter selects environments for List.
type Filter = store.Filter

// find gives the environment that a reference means to who: by id any that they may see, by name one of their own
// tenant, or of the tenant that the reference names. Another tenant's is not there for a member.
func (e *Engine) find(ctx context.Context, who fleet.Identity, reference string) (fleet.Environment, error) {
	ref := fleet.ParseReference(reference)
	look := store.Lookup{ID: ref.ID, Sees: who.Sees(), Name: ref.Word, Tenant: who.Home(), Unclaimed: who.Platform()}
	if ref.ID == "" {
		look.ID = ref.Word
	}
	if ref.Tenant != "" {
		if look.Sees != "" && look.Sees != ref.Tenant {
			look.ID, look.Name = "", "" // Nothing is there for them; the store is asked all the same, so that it takes as long.
		}
		look.Sees, look.Tenant, look.Unclaimed = ref.Tenant, ref.Tenant, false
	}
	env, err := e.store.Find(ctx, look)
	if fleet.CodeOf(err) == fleet.CodeNotFound {
		return env, notThere(reference)
	}
	return env, err
}

// notThere says that a reference means nothing to whoever uses it.
func notThere(reference string) error {
	return fleet.Errorf(fleet.CodeNotFound, "there is no environment %q", fleet.Short(strings.TrimPrefix(reference, fleet.ByID)))
}

// Find gives an environment by reference (see fleet.ParseReference): of a name a live one first, else the latest gone one.
//
// Errors: not_found, also for another tenant's.
func (e *Engine) Find(ctx context.Context, who fleet.Identity, reference string) (fleet.Environment, error) {
	return e.find(ctx, who, reference)
}

// Selection is what a list of environments is asked for. Tenant is whose are wanted, the caller's own when it is empty;
// AllTenants wants those of all, and what pools keep: the route asks for the platform role. Mine wants the caller's own alone.
type Selection struct {
	Filter
	AllTenants bool
	Mine       bool
}

// List gives one page of environments, newest first, and the cursor of the next page ("" at the end).
//
// Errors: invalid (a state or cursor that is none).
func (e *Engine) List(ctx context.Context, who fleet.Identity, s Selection) ([]fleet.Environment, string, error) {
	f := s.Filter
	sees := who.Sees()
	if s.AllTenants {
		f.Tenant = sees
	} else if f.Tenant == "" {
		f.Tenant = who.Home()
	}
	if s.Mine {
		if f.Owner != "" && f.Owner != who.User {
			return nil, "", nil
		}
		sees, f.Owner = who.Home(), who.User
	}
	if sees != "" && f.Tenant != sees {
		return nil, "", nil // Another tenant's are not there.
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
	f.Newest = false // What is followed is followed from its beginning.
	s := e.followers.Subscribe(f.EnvironmentID, false)
	defer s.Stop()
	for {
		events, upTo, more, err := e.followers.Events(ctx, f)
		if err != nil {
			return err
		}
		if len(events) > 0 {
			if err := write(events); err != nil {
				return err
			}
		}
		f.After = upTo
		if more {
			continue
		}
		if err := e.followers.Wait(ctx, s); err != nil {
			return err
		}
	}
}

// Blueprints gives all blueprints, by name.
func (e *Engine) Blueprints() []fleet.Blueprint { return e.blueprints.List() }

// Blueprint gives one by name or name@version.
func (e *Engine) Blueprint(name string) (fleet.Blueprint, error) { return e.blueprints.Get(name) }

// Usage tells what an environment uses now. What is not known is negative. It takes about a second at most, and never fails.
func (e *Engine) Usage(ctx context.Context, env fleet.Environment) provisioner.Usage {
	return e.usages.Of(ctx, env)
}
