package engine

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// adopt makes an environment of what was found of one. Terraform's state of it is lost, but its labels find
// everything when it is destroyed. What it cost until now was somebody's that nobody remembers: its bill begins now.
func (e *Engine) adopt(ctx context.Context, who fleet.Identity, h *Host, group []fleet.Orphan, networks map[string]string) error {
	i := slices.IndexFunc(group, func(o fleet.Orphan) bool { return o.Kind == kindContainer })
	if i < 0 {
		return fleet.Errorf(fleet.CodeConflict, "there is no sandbox of environment %s to adopt", group[0].EnvironmentID).
			WithHint("what is left of it can be removed: bothy orphans purge %s", group[0].EnvironmentID)
	}
	sandbox := group[i]
	if _, err := e.store.Get(ctx, sandbox.EnvironmentID); fleet.CodeOf(err) != fleet.CodeNotFound {
		if err != nil {
			return err
		}
		return fleet.Errorf(fleet.CodeConflict, "environment %s is known, and this is not a part of it", sandbox.EnvironmentID).
			WithHint("it can be removed: bothy orphans purge %s", sandbox.EnvironmentID)
	}
	env, err := e.adopted(who, sandbox)
	if err != nil {
		return err
	}
	env.Host, env.Network = h.Name, networks[sandbox.ID]
	ev := e.event(&env, who.User, eventOrphanAdopted, "%s adopted %s for %s, leased until %s",
		who.User, sandbox.Name, env.Owner, env.Lease.End.Format(time.RFC3339))
	if _, err := e.store.Adopt(ctx, env, ev); err != nil {
		return err
	}
	e.watchers.notify(env.ID)
	return nil
}

// adopted is the row of a sandbox that was found, as far as its labels tell.
func (e *Engine) adopted(who fleet.Identity, sandbox fleet.Orphan) (fleet.Environment, error) {
	ref := sandbox.Labels[provisioner.LabelBlueprint]
	bp, err := e.blueprints.Get(ref)
	if fleet.CodeOf(err) == fleet.CodeNotFound {
		name, _, _ := strings.Cut(ref, "@")
		bp, err = e.blueprints.Get(name)
	}
	if err != nil {
		return fleet.Environment{}, err
	}
	size, _ := bp.SizeNamed("")
	now := e.Now()
	env := blank(bp, size, nil)
	env.ID, env.Name = sandbox.EnvironmentID, "adopted-"+sandbox.EnvironmentID
	// Labels tell the user and not the tenant; a pool's tell nobody.
	env.Tenant, env.Team = cmp.Or(who.Tenant, fleet.DefaultTenant), cmp.Or(who.Team, fleet.DefaultTeam)
	env.Owner = cmp.Or(sandbox.Labels[provisioner.LabelOwner], who.User)
	env.State, env.SandboxID = fleet.Leased, sandbox.ID
	env.CreatedAt, env.UpdatedAt, env.ReadyAt, env.BilledFrom = now, now, now, now
	beginLease(&env, now)
	// Fenced against whoever made it, wherever they are.
	generation, err := strconv.ParseInt(sandbox.Labels[provisioner.LabelGeneration], 10, 64)
	if err != nil {
		return env, fleet.Errorf(fleet.CodeConflict, "the labels of %s do not say which try made it", sandbox.Name).
			WithHint("it can be removed: bothy orphans purge %s", sandbox.EnvironmentID)
	}
	env.Work.Generation = generation
	return env, nil
}
