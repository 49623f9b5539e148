package service

import (
	"context"
	"time"

	"github.com/bothy-env/bothy/internal/engine/acquire"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// Home is what Environments needs of the hosts.
type Home interface {
	// Find returns a host of this daemon; nil for another.
	Find(name string) *target.Host
	// AboutAddress is what users must know about the address of another daemon; may be "".
	AboutAddress(address string) string
}

// Leases knows when leases end, for times without the database.
type Leases interface {
	Learn(envs ...fleet.Environment)
}

// Given notes changes that a restore must not undo.
type Given interface {
	NoteGiven()
}

// Noter records use.
type Noter interface {
	// Note records that an environment is in use now.
	Note(ctx context.Context, env fleet.Environment) (fleet.Environment, error)
}

// Starved knows which environments ran out of memory.
type Starved interface {
	// LastAt returns when the environment last ran out of memory; zero for never.
	LastAt(ctx context.Context, env fleet.Environment) (time.Time, error)
}

// EnvironmentsConfig is what Environments needs.
type EnvironmentsConfig struct {
	Base
	Hosts      Home
	Leases     Leases
	Safety     Given
	Meter      Noter
	Memory     Starved
	Work       Work
	Blueprints Blueprints
}

// Environments are the use cases of environments that exist.
type Environments struct {
	*Access
	cfg EnvironmentsConfig
}

// NewEnvironments makes it.
func NewEnvironments(c EnvironmentsConfig) *Environments {
	return &Environments{Access: c.Access, cfg: c}
}

// Selection selects environments for a list. An empty Tenant is that of the caller. AllTenants includes all tenants and the
// members of pools; its route requires the platform role. Mine is for those that the caller owns.
type Selection struct {
	Filter
	AllTenants bool
	Mine       bool
}

// List returns a page of environments, newest first, and the cursor of the next page ("" at the end).
//
// Errors: invalid (unknown state or cursor).
func (e *Environments) List(ctx context.Context, who fleet.Identity, s Selection) ([]fleet.Environment, string, error) {
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
		return nil, "", nil // those of another tenant do not exist for the caller
	}
	return e.cfg.Store.List(ctx, f)
}

// Share sets who may use and delete an environment beside its owner. Open streams of users who lose access end within seconds.
//
// Errors: not_found, policy (not the owner), invalid (unknown share), conflict (it is deleted, or has no owner).
func (e *Environments) Share(ctx context.Context, who fleet.Identity, reference string, share fleet.Share) (fleet.Environment, error) {
	if !share.Valid() {
		return fleet.Environment{}, acquire.NotShare(share)
	}
	env, err := e.permit(ctx, who, reference, toShare, "share")
	if err != nil {
		return env, err
	}
	return e.cfg.Journal.Change(ctx, env.ID, store.Expect{}, func(row *fleet.Environment) (store.Writes, error) {
		if err := refused(who, toShare, row); err != nil {
			return store.Writes{}, err
		}
		switch {
		case row.Tenant == "":
			return store.Writes{}, fleet.Errorf(fleet.CodeConflict, "environment %s belongs to nobody yet", row.Name)
		case !row.State.Live():
			return store.Writes{}, fleet.Errorf(fleet.CodeConflict, "environment %s is gone", row.Name)
		case row.Share == share:
			return store.Writes{}, nil
		}
		was := row.Share
		row.Share = share
		return store.Writes{Events: []fleet.Event{e.cfg.Journal.Event(row, who.User, "environment.shared", "shared with %s (was %s)", sharedWith(row), was)}}, nil
	})
}

// sharedWith names who may use an environment beside its owner.
func sharedWith(env *fleet.Environment) string {
	switch env.Share {
	case fleet.ShareTeam:
		return "team " + env.Team
	case fleet.ShareTenant:
		return "tenant " + env.Tenant
	}
	return "nobody"
}
