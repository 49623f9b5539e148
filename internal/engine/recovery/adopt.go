package recovery

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/provisioner"
)

// Adopt makes an environment of what was found of one. Terraform's state of it is lost, but its labels find
// everything when it is destroyed. What it cost until now was somebody's that nobody remembers: its bill begins now.
// networks are those that unknown sandboxes are on, by sandbox.
func (d *Doubts) Adopt(ctx context.Context, who fleet.Identity, h *target.Host, group []fleet.Orphan, networks map[string]string) error {
	i := slices.IndexFunc(group, func(o fleet.Orphan) bool { return o.Kind == h.SandboxKind() })
	if i < 0 {
		return fleet.Errorf(fleet.CodeConflict, "there is no sandbox of environment %s to adopt", group[0].EnvironmentID).
			WithHint("what is left of it can be removed: bothy orphans purge %s", group[0].EnvironmentID)
	}
	sandbox := group[i]
	if _, err := d.cfg.Store.Get(ctx, sandbox.EnvironmentID); fleet.CodeOf(err) != fleet.CodeNotFound {
		if err != nil {
			return err
		}
		return fleet.Errorf(fleet.CodeConflict, "environment %s is known, and this is not a part of it", sandbox.EnvironmentID).
			WithHint("it can be removed: bothy orphans purge %s", sandbox.EnvironmentID)
	}
	rates, err := d.cfg.Store.Rates(ctx)
	if err != nil {
		return err
	}
	env, guessed, err := d.adopted(who, sandbox, rates)
	if err != nil {
		return err
	}
	env.Host, env.Network = h.Name, networks[sandbox.ID]
	ev := d.cfg.Journal.Event(&env, who.User, eventOrphanAdopted, "%s adopted %s for %s without the names of its secrets and its variables, which are lost, leased until %s%s",
		who.User, sandbox.Name, env.Owner, env.Lease.End.Format(time.RFC3339), guessed)
	if _, err := d.cfg.Store.Adopt(ctx, env, ev); err != nil {
		return err
	}
	return nil
}

// adopted is the row of a sandbox that was found, as far as its labels tell, at the price of now. guessed says
// what they do not tell, as the end of a sentence.
func (d *Doubts) adopted(who fleet.Identity, sandbox fleet.Orphan, rates []fleet.Rate) (env fleet.Environment, guessed string, err error) {
	bp, err := d.blueprintOf(sandbox)
	if err != nil {
		return env, "", err
	}
	// Fenced against whoever made it, wherever they are.
	generation, err := strconv.ParseInt(sandbox.Labels[provisioner.LabelGeneration], 10, 64)
	if err != nil {
		return env, "", fleet.Errorf(fleet.CodeConflict, "the labels of %s do not say which try made it", sandbox.Name).
			WithHint("it can be removed: bothy orphans purge %s", sandbox.EnvironmentID)
	}
	size, guessed := sizeOf(bp, sandbox)
	now := d.cfg.Clock.Now()
	env = d.cfg.Offered(bp, size, rates, now)
	env.ID, env.Name = sandbox.EnvironmentID, "adopted-"+sandbox.EnvironmentID
	guessed += belongs(&env, who, sandbox)
	env.State, env.SandboxID = fleet.Leased, sandbox.ID
	env.CreatedAt, env.UpdatedAt, env.ReadyAt, env.BilledFrom = now, now, now, now
	journal.BeginLease(&env, now)
	// The platform team gives it to them, so no limit is asked; what is not held would not count at all.
	env.HeldMicros, env.HeldFor = ledger.Hold(env.Size.RateMicros, env.Lease.Start, env.Lease.End), env.Lease.End.Sub(env.Lease.Start)
	env.Work.Generation = generation
	return env, guessed, nil
}

// eventOrphanAdopted is the event of an orphan that became an environment.
const eventOrphanAdopted = "orphan.adopted"

// blueprintOf finds what a sandbox was made from, in the version that there is now when its own is gone.
func (d *Doubts) blueprintOf(sandbox fleet.Orphan) (fleet.Blueprint, error) {
	ref := sandbox.Labels[provisioner.LabelBlueprint]
	bp, err := d.cfg.Blueprints.Get(ref)
	if fleet.CodeOf(err) == fleet.CodeNotFound {
		name, _, _ := strings.Cut(ref, "@")
		bp, err = d.cfg.Blueprints.Get(name)
	}
	return bp, err
}

// sizeOf gives the size that a sandbox's labels name, else the blueprint's default and that it was guessed.
func sizeOf(bp fleet.Blueprint, sandbox fleet.Orphan) (size fleet.Size, guessed string) {
	name := sandbox.Labels[provisioner.LabelSize]
	size, ok := bp.SizeNamed(name)
	switch {
	case !ok:
		size, _ = bp.SizeNamed("")
		return size, fmt.Sprintf("; blueprint %s has no size %q, so it counts as %s", bp.Ref, name, size.Name)
	case name == "":
		return size, fmt.Sprintf("; its labels do not tell its size, so it counts as %s", size.Name)
	}
	return size, ""
}

// belongs says whose an adopted environment is. What was made for a pool names nobody, also when somebody had claimed it,
// and what is older than the labels of tenants names a user alone: that counts in the limits of whoever adopts it.
func belongs(env *fleet.Environment, who fleet.Identity, sandbox fleet.Orphan) (guessed string) {
	l := sandbox.Labels
	// With whom it was shared no label tells: with nobody, until its owner says so again.
	env.Owner, env.Share = cmp.Or(l[provisioner.LabelOwner], who.User), fleet.ShareNobody
	env.Project, env.PullRequest = l[provisioner.LabelProject], l[provisioner.LabelPullRequest]
	if env.Tenant, env.Team = l[provisioner.LabelTenant], l[provisioner.LabelTeam]; env.Tenant != "" {
		return ""
	}
	env.Tenant, env.Team = cmp.Or(who.Tenant, fleet.DefaultTenant), cmp.Or(who.Team, fleet.DefaultTeam)
	return fmt.Sprintf("; its labels name no team, so it counts in team %s of tenant %s", env.Team, env.Tenant)
}
