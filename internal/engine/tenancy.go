package engine

import (
	"context"

	"github.com/bothy-env/bothy/internal/engine/acquire"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// A route's role is asked for before it gets here, by internal/api. What is here is about one environment: whether somebody may use
// it depends on the row, so it is asked where the row is read. Everything that uses, deletes or shares one goes through
// these functions; what only shows one goes through find.

// Rights on an environment. Each includes that whoever has it finds it.
type right string

const (
	// toUse is to use and to delete: its owner, and whom it is shared with.
	toUse right = "use"
	// toShare is to say with whom it is shared: its owner.
	toShare right = "share"
)

// eventOverride records that the platform role was used on somebody's environment.
const eventOverride = "environment.override"

// permit finds an environment for somebody who does something to it: doing names that in the record, such as "extend". The
// platform role with a reason has every right, which is recorded before anything is done.
//
// Errors: not_found (no such environment, or another tenant's), policy (it is there, and theirs it is not).
func (e *Engine) permit(ctx context.Context, who fleet.Identity, reference string, need right, doing string) (fleet.Environment, error) {
	env, err := e.allowed(ctx, who, reference, need)
	if err != nil || has(who, need, &env) {
		return env, err
	}
	err = e.store.AppendEvents(ctx, e.journal.Event(&env, who.User, eventOverride, "%s used the platform role to %s it: %s", who.User, doing, who.Because))
	return env, err
}

// allowed is permit without a record of it.
func (e *Engine) allowed(ctx context.Context, who fleet.Identity, reference string, need right) (fleet.Environment, error) {
	env, err := e.find(ctx, who, reference)
	if err == nil {
		err = refused(who, need, &env)
	}
	if err != nil {
		return fleet.Environment{}, err
	}
	return env, nil
}

// has reports whether somebody has a right by themselves, without the platform role.
func has(who fleet.Identity, need right, env *fleet.Environment) bool {
	if need == toShare {
		return who.Owns(env)
	}
	return who.Uses(env)
}

// refused is why somebody who sees an environment may not do with it what they want; nil when they may. It is asked again
// inside a transaction: whose it is, and with whom it is shared, may have changed since.
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

// sharedBy is the narrowest share that lets somebody of an environment's tenant use it.
func sharedBy(who fleet.Identity, env *fleet.Environment) fleet.Share {
	shared := *env
	for _, s := range fleet.Shares() {
		if shared.Share = s; who.Uses(&shared) {
			return s
		}
	}
	return fleet.ShareTenant
}

// MayUse reports by its error whether somebody may use an environment now. Nothing is recorded.
//
// Errors: not_found, policy (it is not theirs and not shared with them).
func (e *Engine) MayUse(ctx context.Context, who fleet.Identity, reference string) error {
	_, err := e.allowed(ctx, who, reference, toUse)
	return err
}

// Share says who may use and delete an environment beside its owner, from now on. What others have open ends soon after it is
// not shared with them any more.
//
// Errors: not_found, policy (not the owner), invalid (share is none), conflict (it is gone, or nobody's).
func (e *Engine) Share(ctx context.Context, who fleet.Identity, reference string, share fleet.Share) (fleet.Environment, error) {
	if !share.Valid() {
		return fleet.Environment{}, acquire.NotShare(share)
	}
	env, err := e.permit(ctx, who, reference, toShare, "share")
	if err != nil {
		return env, err
	}
	return e.journal.Change(ctx, env.ID, store.Expect{}, func(row *fleet.Environment) (store.Writes, error) {
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
		return store.Writes{Events: []fleet.Event{e.journal.Event(row, who.User, "environment.shared", "shared with %s (was %s)", sharedWith(row), was)}}, nil
	})
}

// sharedWith says in words who may use an environment beside its owner.
func sharedWith(env *fleet.Environment) string {
	switch env.Share {
	case fleet.ShareTeam:
		return "team " + env.Team
	case fleet.ShareTenant:
		return "tenant " + env.Tenant
	}
	return "nobody"
}
