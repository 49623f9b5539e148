package engine

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// Doubt is an environment that may not be what its row says, and what is known of it.
type Doubt struct {
	Env   fleet.Environment
	Known string
}

// doubts gives what is to be decided on beside the orphans.
func (e *Engine) doubts(ctx context.Context) ([]Doubt, error) {
	rows, err := e.store.Doubted(ctx)
	all := make([]Doubt, len(rows))
	for i, env := range rows {
		all[i] = Doubt{Env: env, Known: e.knownOf(&env)}
	}
	return all, err
}

// knownOf says in a sentence what is known of a doubted environment.
func (e *Engine) knownOf(env *fleet.Environment) string {
	switch {
	case env.State == fleet.Leased && env.Tenant == "":
		return "somebody has it: it was used when it was to be handed over"
	case env.State == fleet.Leased:
		text := fmt.Sprintf("leased until %s as recorded; an extension since then would be lost", env.Lease.End.Format(time.RFC3339))
		if env.Lease.Expired(e.Now()) {
			text = fmt.Sprintf("its lease ended %s as recorded; it may have been extended", env.Lease.End.Format(time.RFC3339))
		}
		return text
	case env.State == fleet.Warm:
		text := "ready in pool " + env.Pool + " as recorded"
		if used, looked := e.signs.Load(env.ID); looked && used.(bool) {
			return text + "; somebody has used it since"
		} else if looked {
			return text + "; nothing in it shows that it was used"
		}
		return text + "; it may have been claimed since"
	case env.Pool != "" && env.Tenant == "":
		return "being made for pool " + env.Pool + " as recorded; it may be ready and in use"
	}
	return "being made as recorded; it may be ready and in use"
}

// lookForUse looks once for signs that a doubted sandbox is in use. A frozen one is not, and is left frozen.
func (e *Engine) lookForUse(ctx context.Context, env fleet.Environment) {
	h := e.hosts.byName[env.Host]
	if _, looked := e.signs.Load(env.ID); looked || h == nil || ctx.Err() != nil {
		return
	}
	stager, ok := provisioner.Can[provisioner.Stager](h.Runtime)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, stageTimeout)
	defer cancel()
	status, err := h.Runtime.Inspect(ctx, env.SandboxID)
	if err != nil || status.Paused {
		if err == nil {
			e.signs.Store(env.ID, false)
		}
		return
	}
	way, err := stager.Stage(ctx, env.SandboxID, env.Users[0])
	if err != nil {
		e.logger.Warn("a doubted environment could not be looked at", "environment", env.ID, "error", err)
		return
	}
	e.signs.Store(env.ID, way.Used())
	if err := way.Close(); err != nil {
		e.logger.Debug("closing a way into a sandbox", "environment", env.ID, "error", err)
	}
}

// believeHolder ends the doubt about an environment whose holder says that it is in use: its lease goes on from now when it
// seemed to be over.
func believeHolder(env *fleet.Environment, now time.Time) {
	if env.Doubted && env.Lease.Expired(now) {
		env.Lease.End = now
	}
	env.Doubted = false
}

// lookedUp is what a look at the hosts found that people decide on.
type lookedUp struct {
	// networks of unknown sandboxes, by sandbox.
	networks map[string]string
	// doubted are the sandboxes of doubted environments, by environment.
	doubted map[string]standing
}

// standing is a sandbox that was found on a host.
type standing struct {
	provisioner.Found
	host string
}

// keep ends the doubt about an environment in favour of whoever may use it: nothing of it is taken away.
func (e *Engine) keep(ctx context.Context, who fleet.Identity, env fleet.Environment, seen lookedUp) (err error) {
	if env.State == fleet.Pending || env.State == fleet.Provisioning {
		f, there := seen.doubted[env.ID]
		if !there {
			return e.keepUnmade(ctx, who, env)
		}
		if env, err = e.recordMade(ctx, env, f); err != nil {
			return err
		}
	}
	_, err = e.change(ctx, env.ID, store.Expect{}, func(row *fleet.Environment) (store.Writes, error) {
		if !row.Doubted {
			return store.Writes{}, nil
		}
		row.Doubted = false
		if row.Tenant == "" {
			return e.giveTo(who, row), nil
		}
		return e.keepLease(who, row), nil
	})
	if err == nil && env.Paused {
		if h := e.hosts.byName[env.Host]; h != nil {
			err = thaw(ctx, h, env.SandboxID)
		}
	}
	return err
}

// keepLease lets a lease go on for as long as it was asked for, from now.
func (e *Engine) keepLease(who fleet.Identity, row *fleet.Environment) store.Writes {
	recorded := row.Lease.End
	if end := e.Now().Add(min(row.Lease.TTL, row.Lease.MaxTTL)); end.After(recorded) {
		row.HeldMicros = max(row.HeldMicros, ledger.Hold(row.Size.RateMicros, row.Lease.Start, end))
		row.HeldFor += end.Sub(recorded)
		row.Lease.End, row.Lease.Warned = end, false
	}
	return store.Writes{Events: []fleet.Event{e.event(row, who.User, eventDoubtKept, "%s kept it for %s, leased until %s (as recorded: %s)",
		who.User, row.Owner, row.Lease.End.Format(time.RFC3339), recorded.Format(time.RFC3339))}}
}

// giveTo leases a pool's environment to whoever decided to keep it: who uses it is not known.
func (e *Engine) giveTo(who fleet.Identity, row *fleet.Environment) store.Writes {
	now := e.Now()
	row.Name, row.Owner, row.Share = "adopted-"+row.ID, who.User, fleet.ShareNobody
	row.Tenant, row.Team = cmp.Or(who.Tenant, fleet.DefaultTenant), cmp.Or(who.Team, fleet.DefaultTeam)
	row.State, row.Reason, row.Paused = fleet.Leased, "", false
	row.Work = fleet.Work{Generation: row.Work.Generation + 1} // whatever is under way is fenced
	beginLease(row, now)
	row.HeldAt = now
	row.HeldMicros, row.HeldFor = ledger.Hold(row.Size.RateMicros, row.Lease.Start, row.Lease.End), row.Lease.End.Sub(row.Lease.Start)
	return store.Writes{Events: []fleet.Event{e.event(row, who.User, eventDoubtKept,
		"%s kept it for whoever uses it, leased to %s until %s; the names of its secrets and its variables are lost",
		who.User, row.Owner, row.Lease.End.Format(time.RFC3339))}}
}

// recordMade records that an environment was made, whose sandbox exists though its row says that it is being made.
func (e *Engine) recordMade(ctx context.Context, env fleet.Environment, f standing) (fleet.Environment, error) {
	generation, err := strconv.ParseInt(f.Labels[provisioner.LabelGeneration], 10, 64)
	if err != nil {
		return env, fmt.Errorf("read the labels of %s: %w", f.Name, err)
	}
	for {
		env, err = e.change(ctx, env.ID, store.Expect{}, func(row *fleet.Environment) (store.Writes, error) {
			now := e.Now()
			if row.State == fleet.Pending {
				row.State = fleet.Provisioning // on its way
				return store.Writes{}, nil
			}
			if row.State != fleet.Provisioning {
				return store.Writes{}, nil
			}
			// One that had not been begun when the database was saved stood nowhere yet.
			row.Host, row.SandboxID, row.Network = f.host, f.ID, cmp.Or(string(f.Attachment), row.Network)
			row.Work = fleet.Work{Generation: max(row.Work.Generation, generation) + 1}
			row.ReadyAt, row.Reason, row.Queue = now, "", fleet.Queue{}
			ledger.Begin(row, billable(f.CreatedAt, *row, now))
			if row.State = fleet.Warm; row.Tenant != "" {
				row.State = fleet.Leased
				beginLease(row, now)
			}
			return store.Writes{Events: []fleet.Event{e.event(row, actorSelf, eventDoubtKept, "its sandbox %s was found, though no record says that it was made", f.Name)}}, nil
		})
		if err != nil || env.State != fleet.Provisioning {
			return env, err
		}
	}
}

// keepUnmade ends the doubt about what nothing exists of: a request goes on, a pool asks for another.
func (e *Engine) keepUnmade(ctx context.Context, who fleet.Identity, env fleet.Environment) error {
	_, err := e.change(ctx, env.ID, store.Expect{}, func(row *fleet.Environment) (store.Writes, error) {
		row.Doubted = false
		if forPool(*row) {
			beginDestroy(row, "nothing of it was found after the database was lost or restored")
		}
		return store.Writes{Events: []fleet.Event{e.event(row, who.User, eventDoubtKept, "nothing of it was found; %s let it go on", who.User)}}, nil
	})
	return err
}

// letGo takes a doubted environment away, as somebody decided.
func (e *Engine) letGo(ctx context.Context, who fleet.Identity, env fleet.Environment) error {
	_, err := e.change(ctx, env.ID, store.Expect{}, func(row *fleet.Environment) (store.Writes, error) {
		if !row.Doubted || row.State == fleet.Destroying || !row.State.Live() {
			return store.Writes{}, nil
		}
		row.Doubted = false
		beginDestroy(row, "purged by "+who.User+" after the database was lost or restored")
		return store.Writes{Events: []fleet.Event{e.event(row, who.User, "environment.purged", "%s decided to remove it", who.User)}}, nil
	})
	if err == nil {
		e.running.cancelCreate(env.ID)
		nudge(e.workNudge)
	}
	return err
}

// eventDoubtKept is the event of what somebody decided to keep after the database was lost or restored.
const eventDoubtKept = "environment.kept"
