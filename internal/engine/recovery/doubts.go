package recovery

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/evidence"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/engine/target"
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

// Doubts are the environments that may not be what their rows say, and what people decide of them.
type Doubts struct {
	cfg  Config
	safe *SafeMode
	// signs are what was seen of the use of doubted sandboxes.
	signs sync.Map
}

// NewDoubts makes them.
func NewDoubts(c Config, safe *SafeMode) *Doubts { return &Doubts{cfg: c, safe: safe} }

// All gives what is to be decided on beside the orphans.
func (d *Doubts) All(ctx context.Context) ([]Doubt, error) {
	rows, err := d.cfg.Store.Doubted(ctx)
	all := make([]Doubt, len(rows))
	for i, env := range rows {
		all[i] = Doubt{Env: env, Known: d.knownOf(&env)}
	}
	return all, err
}

// knownOf says in a sentence what is known of a doubted environment.
func (d *Doubts) knownOf(env *fleet.Environment) string {
	switch {
	case env.State == fleet.Leased && env.Tenant == "":
		return "somebody has it: it was used when it was to be handed over"
	case env.State == fleet.Leased:
		text := fmt.Sprintf("leased until %s as recorded; an extension since then would be lost", env.Lease.End.Format(time.RFC3339))
		if env.Lease.Expired(d.cfg.Clock.Now()) {
			text = fmt.Sprintf("its lease ended %s as recorded; it may have been extended", env.Lease.End.Format(time.RFC3339))
		}
		return text
	case env.State == fleet.Warm:
		text := "ready in pool " + env.Pool + " as recorded"
		if used, looked := d.signs.Load(env.ID); looked && used.(bool) {
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

// useTimeout bounds the look at one.
const useTimeout = 10 * time.Second

// LookForUse looks once for signs that a doubted sandbox is in use. A frozen one is not, and is left frozen.
func (d *Doubts) LookForUse(ctx context.Context, env fleet.Environment) {
	h := d.cfg.Hosts.Find(env.Host)
	if _, looked := d.signs.Load(env.ID); looked || h == nil || ctx.Err() != nil {
		return
	}
	stager, ok := provisioner.Can[provisioner.Stager](h.Runtime)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, useTimeout)
	defer cancel()
	status, err := h.Runtime.Inspect(ctx, env.SandboxID)
	if err != nil || status.Paused {
		if err == nil {
			d.signs.Store(env.ID, false)
		}
		return
	}
	session, err := stager.Stage(ctx, env.SandboxID, env.Users[0])
	if err != nil {
		d.cfg.Logger.Warn("a doubted environment could not be looked at", "environment", env.ID, "error", err)
		return
	}
	d.signs.Store(env.ID, session.Used())
	if err := session.Close(); err != nil {
		d.cfg.Logger.Debug("closing an exec session", "environment", env.ID, "error", err)
	}
}

// Disbelieve turns safe mode on when the database still says, after a sandbox was found to be used, that it is as when nobody has
// used it. This process may have slept between its look at the row and that at the sandbox, while another one handed it over.
func (d *Doubts) Disbelieve(ctx context.Context, id string, unused func(*fleet.Environment) bool) (unknown bool, err error) {
	// Somebody else may be about to doubt the row: a second beginning would doubt what was asked for since the first.
	d.safe.judging.Lock()
	defer d.safe.judging.Unlock()
	was, err := d.safe.read(ctx) // before the row: who turns it on meanwhile doubts the row
	if err != nil {
		return false, err
	}
	row, err := d.cfg.Store.Get(ctx, id)
	if err != nil || row.Doubted || !unused(&row) {
		return row.Doubted, err
	}
	_, err = d.safe.enter(ctx, was,
		fmt.Sprintf("the database was lost or restored: the environment %s, which it calls unused, was used by somebody", id))
	return true, err
}

// Standing is a sandbox that was found on a host.
type Standing struct {
	provisioner.Found
	Host string
}

// Keep ends the doubt about an environment in favour of whoever may use it: nothing of it is deleted. found is
// its sandbox, nil for none.
func (d *Doubts) Keep(ctx context.Context, who fleet.Identity, env fleet.Environment, found *Standing) (err error) {
	if env.State == fleet.Pending || env.State == fleet.Provisioning {
		if found == nil {
			return d.keepUnmade(ctx, who, env)
		}
		if env, err = d.recordMade(ctx, env, *found); err != nil {
			return err
		}
	}
	_, err = d.cfg.Journal.Change(ctx, env.ID, store.Expect{}, func(row *fleet.Environment) (store.Writes, error) {
		if !row.Doubted {
			return store.Writes{}, nil
		}
		row.Doubted = false
		if row.Tenant == "" {
			return d.giveTo(who, row), nil
		}
		return d.keepLease(who, row), nil
	})
	if err == nil && env.Paused {
		if h := d.cfg.Hosts.Find(env.Host); h != nil {
			err = target.Thaw(ctx, h, env.SandboxID)
		}
	}
	return err
}

// keepLease lets a lease go on for as long as it was asked for, from now.
func (d *Doubts) keepLease(who fleet.Identity, row *fleet.Environment) store.Writes {
	recorded := row.Lease.End
	if end := d.cfg.Clock.Now().Add(min(row.Lease.TTL, row.Lease.MaxTTL)); end.After(recorded) {
		row.HeldMicros = max(row.HeldMicros, ledger.Hold(row.Size.RateMicros, row.Lease.Start, end))
		row.HeldFor += end.Sub(recorded)
		row.Lease.End, row.Lease.Warned = end, false
	}
	return store.Writes{Events: []fleet.Event{d.cfg.Journal.Event(row, who.User, eventDoubtKept, "%s kept it for %s, leased until %s (as recorded: %s)",
		who.User, row.Owner, row.Lease.End.Format(time.RFC3339), recorded.Format(time.RFC3339))}}
}

// giveTo leases a pool's environment to whoever decided to keep it: who uses it is not known.
func (d *Doubts) giveTo(who fleet.Identity, row *fleet.Environment) store.Writes {
	now := d.cfg.Clock.Now()
	row.Name, row.Owner, row.Share = "adopted-"+row.ID, who.User, fleet.ShareNobody
	row.Tenant, row.Team = cmp.Or(who.Tenant, fleet.DefaultTenant), cmp.Or(who.Team, fleet.DefaultTeam)
	row.State, row.Reason, row.Paused = fleet.Leased, "", false
	row.Work = fleet.Work{Generation: row.Work.Generation + 1} // whatever is under way is fenced
	journal.BeginLease(row, now)
	row.HeldAt = now
	row.HeldMicros, row.HeldFor = ledger.Hold(row.Size.RateMicros, row.Lease.Start, row.Lease.End), row.Lease.End.Sub(row.Lease.Start)
	return store.Writes{Events: []fleet.Event{d.cfg.Journal.Event(row, who.User, eventDoubtKept,
		"%s kept it for whoever uses it, leased to %s until %s; the names of its secrets and its variables are lost",
		who.User, row.Owner, row.Lease.End.Format(time.RFC3339))}}
}

// recordMade records that an environment was made, whose sandbox exists though its row says that it is being made.
func (d *Doubts) recordMade(ctx context.Context, env fleet.Environment, f Standing) (fleet.Environment, error) {
	generation, err := strconv.ParseInt(f.Labels[provisioner.LabelGeneration], 10, 64)
	if err != nil {
		return env, fmt.Errorf("read the labels of %s: %w", f.Name, err)
	}
	for {
		env, err = d.cfg.Journal.Change(ctx, env.ID, store.Expect{}, func(row *fleet.Environment) (store.Writes, error) {
			now := d.cfg.Clock.Now()
			if row.State == fleet.Pending {
				row.State = fleet.Provisioning // on its way
				return store.Writes{}, nil
			}
			if row.State != fleet.Provisioning {
				return store.Writes{}, nil
			}
			// One that had not been begun when the database was saved stood nowhere yet.
			row.Host, row.SandboxID, row.Network = f.Host, f.ID, cmp.Or(string(f.Attachment), row.Network)
			row.Work = fleet.Work{Generation: max(row.Work.Generation, generation) + 1}
			row.ReadyAt, row.Reason, row.Queue = now, "", fleet.Queue{}
			ledger.Begin(row, evidence.Billable(f.CreatedAt, *row, now))
			if row.State = fleet.Warm; row.Tenant != "" {
				row.State = fleet.Leased
				journal.BeginLease(row, now)
			}
			return store.Writes{Events: []fleet.Event{d.cfg.Journal.Event(row, journal.Self, eventDoubtKept, "its sandbox %s was found, though no record says that it was made", f.Name)}}, nil
		})
		if err != nil || env.State != fleet.Provisioning {
			return env, err
		}
	}
}

// keepUnmade ends the doubt about what nothing exists of: a request goes on, a pool asks for another.
func (d *Doubts) keepUnmade(ctx context.Context, who fleet.Identity, env fleet.Environment) error {
	_, err := d.cfg.Journal.Change(ctx, env.ID, store.Expect{}, func(row *fleet.Environment) (store.Writes, error) {
		row.Doubted = false
		if row.ForPool() {
			journal.BeginDestroy(row, "nothing of it was found after the database was lost or restored")
		}
		return store.Writes{Events: []fleet.Event{d.cfg.Journal.Event(row, who.User, eventDoubtKept, "nothing of it was found; %s let it go on", who.User)}}, nil
	})
	return err
}

// LetGo takes a doubted environment away, as somebody decided.
func (d *Doubts) LetGo(ctx context.Context, who fleet.Identity, env fleet.Environment) error {
	_, err := d.cfg.Journal.Change(ctx, env.ID, store.Expect{}, func(row *fleet.Environment) (store.Writes, error) {
		if !row.Doubted || row.State == fleet.Destroying || !row.State.Live() {
			return store.Writes{}, nil
		}
		row.Doubted = false
		journal.BeginDestroy(row, "purged by "+who.User+" after the database was lost or restored")
		return store.Writes{Events: []fleet.Event{d.cfg.Journal.Event(row, who.User, "environment.purged", "%s decided to remove it", who.User)}}, nil
	})
	return err
}

// eventDoubtKept is the event of what somebody decided to keep after the database was lost or restored.
const eventDoubtKept = "environment.kept"
