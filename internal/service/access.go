package service

import (
	"context"
	"strings"

	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// right is what a caller may do with an environment. Each right includes that the caller may see it.
type right string

const (
	// toUse is to use and to delete: for its owner, and users that it is shared with.
	toUse right = "use"
	// toShare is to share it: for its owner.
	toShare right = "share"
)

// Access checks who may see and use which environment. Use cases that use, delete or share one call permit, those that only show one
// call Find.
type Access struct {
	store   *store.Store
	journal *journal.Journal
}

// NewAccess makes it.
func NewAccess(db *store.Store, j *journal.Journal) *Access { return &Access{store: db, journal: j} }

// eventOverride records a use of the platform role on the environment of another user.
const eventOverride = "environment.override"

// permit finds an environment for a caller who needs a right on it. doing is a verb for the event, such as "extend". The
// platform role with a reason has every right; an event records each such use before it happens.
//
// Errors: not_found (no such environment, or another tenant's), policy (the caller has no right on it).
func (a *Access) permit(ctx context.Context, who fleet.Identity, reference string, need right, doing string) (fleet.Environment, error) {
	env, err := a.allowed(ctx, who, reference, need)
	if err != nil || has(who, need, &env) {
		return env, err
	}
	err = a.store.AppendEvents(ctx, a.journal.Event(&env, who.User, eventOverride, "%s used the platform role to %s it: %s", who.User, doing, who.Because))
	return env, err
}

// allowed is permit without an event.
func (a *Access) allowed(ctx context.Context, who fleet.Identity, reference string, need right) (fleet.Environment, error) {
	env, err := a.Find(ctx, who, reference)
	if err == nil {
		err = refused(who, need, &env)
	}
	if err != nil {
		return fleet.Environment{}, err
	}
	return env, nil
}

// has reports whether a caller has a right without the platform role.
func has(who fleet.Identity, need right, env *fleet.Environment) bool {
	if need == toShare {
		return who.Owns(env)
	}
	return who.Uses(env)
}

// refused returns why a caller who sees an environment has no right on it; nil if they have. Callers check it again
// inside a transaction: owner and share may have changed.
func refused(who fleet.Identity, need right, env *fleet.Environment) error {
	if has(who, need, env) || who.Overrides() {
		return nil
	}
	err := fleet.Errorf(fleet.CodePolicy, "environment %s belongs to %s and is not shared with you", env.Name, env.Owner)
	if need == toShare {
		err = fleet.Errorf(fleet.CodePolicy, "only the owner of environment %s, %s, may share it", env.Name, env.Owner)
	}
	switch {
	case env.Tenant == "":
		err = fleet.Errorf(fleet.CodePolicy, "environment %s belongs to nobody: pool %s keeps it", env.Name, env.Pool)
	case who.Platform():
	case need == toShare:
		return err.WithHint("ask %s", env.Owner)
	default:
		return err.WithHint("ask %s to run: bothy share %s --with %s", env.Owner, env.Name, sharedBy(who, env))
	}
	return err.WithHint(`with the platform role, say why, for the record: --as-platform "REASON"`)
}

// sharedBy is the narrowest share that lets a caller of the environment's tenant use it.
func sharedBy(who fleet.Identity, env *fleet.Environment) fleet.Share {
	shared := *env
	for _, s := range fleet.Shares() {
		if shared.Share = s; who.Uses(&shared) {
			return s
		}
	}
	return fleet.ShareTenant
}

// MayUse returns an error if a caller may not use an environment now. It records no event.
//
// Errors: not_found, policy (not owned by, and not shared with, the caller).
func (a *Access) MayUse(ctx context.Context, who fleet.Identity, reference string) error {
	_, err := a.allowed(ctx, who, reference, toUse)
	return err
}

// Find returns an environment by reference (see fleet.ParseReference): by id any that the caller may see, by name one of their
// tenant, or of the tenant that the reference names. Of one name, a live environment comes before those that are deleted, the newest of
// which comes first.
//
// Errors: not_found, also for another tenant's.
func (a *Access) Find(ctx context.Context, who fleet.Identity, reference string) (fleet.Environment, error) {
	ref := fleet.ParseReference(reference)
	look := store.Lookup{ID: ref.ID, Sees: who.Sees(), Name: ref.Word, Tenant: who.Home(), Unclaimed: who.Platform()}
	if ref.ID == "" {
		look.ID = ref.Word
	}
	if ref.Tenant != "" {
		if look.Sees != "" && look.Sees != ref.Tenant {
			look.ID, look.Name = "", "" // finds nothing; the query still runs, so that it takes as long
		}
		look.Sees, look.Tenant, look.Unclaimed = ref.Tenant, ref.Tenant, false
	}
	env, err := a.store.Find(ctx, look)
	if fleet.CodeOf(err) == fleet.CodeNotFound {
		return env, notThere(reference)
	}
	return env, err
}

// notThere is the error for a reference without an environment.
func notThere(reference string) error {
	return fleet.Errorf(fleet.CodeNotFound, "there is no environment %q", fleet.Short(strings.TrimPrefix(reference, fleet.ByID)))
}
