package service

import (
	"context"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/recovery"
	"github.com/bothy-env/bothy/internal/engine/sweep"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
)

// Doubts are environments whose state a restore made uncertain.
type Doubts interface {
	All(ctx context.Context) ([]recovery.Doubt, error)
	// Adopt makes an environment of an orphan. Keep keeps a doubted one, LetGo deletes it.
	Adopt(ctx context.Context, who fleet.Identity, h *target.Host, group []fleet.Orphan, networks map[string]string) error
	Keep(ctx context.Context, who fleet.Identity, env fleet.Environment, found *recovery.Standing) error
	LetGo(ctx context.Context, who fleet.Identity, env fleet.Environment) error
}

// Sweeper compares hosts with the records.
type Sweeper interface {
	// Decide looks at orphans and doubted environments again, and passes those with the given ids to d.
	Decide(ctx context.Context, ids []string, d sweep.Decision) error
	// Remove removes the orphans of one environment.
	Remove(ctx context.Context, h *target.Host, group []fleet.Orphan, actor string) error
}

// SafeMode keeps bothy from deleting after a restore.
type SafeMode interface {
	// Reason is why it is on; "" for off.
	Reason(ctx context.Context) (string, error)
	// End ends it, if nothing is left to decide.
	End(ctx context.Context, who fleet.Identity) error
}

// OrphansConfig is what Orphans needs.
type OrphansConfig struct {
	Base
	Doubts   Doubts
	Sweeper  Sweeper
	SafeMode SafeMode
	Work     Creates
}

// Creates are the creates of this process.
type Creates interface {
	// CancelCreate stops the creation of an environment, if this process creates it.
	CancelCreate(id string)
}

// Orphans are the use cases of what exists at the provider without a record, and of environments in doubt.
type Orphans struct{ cfg OrphansConfig }

// NewOrphans makes it.
func NewOrphans(c OrphansConfig) *Orphans { return &Orphans{cfg: c} }

// OrphanReport lists the orphans and doubted environments.
type OrphanReport struct {
	// Safe: safe mode is on, so bothy deletes nothing. Reason is why.
	Safe    bool
	Reason  string
	Orphans []fleet.Orphan
	// Doubted are environments that nobody has decided on.
	Doubted []Doubt
}

// List returns what exists at the provider without an environment.
func (o *Orphans) List(ctx context.Context, _ fleet.Identity) (OrphanReport, error) {
	return o.report(ctx)
}

func (o *Orphans) report(ctx context.Context) (OrphanReport, error) {
	unsafe, err := o.cfg.SafeMode.Reason(ctx)
	if err != nil {
		return OrphanReport{}, err
	}
	all, err := o.cfg.Store.Orphans(ctx)
	if err != nil {
		return OrphanReport{}, err
	}
	doubted, err := o.cfg.Doubts.All(ctx)
	return OrphanReport{Safe: unsafe != "", Reason: unsafe, Orphans: all, Doubted: doubted}, err
}

// Adopt keeps orphans and doubted environments. Orphans become environments: leased, from now, to the user in their labels, with
// the size, tenant and team in them, for the blueprint's default time and at the present price. Doubted environments stay leased to
// their owner, for at least the requested time, from now; those without an owner are leased to the caller. ids are
// environment ids; none means all that can be kept. Safe mode ends if nothing is left to decide.
//
// Errors: not_found (nothing to decide has that id, or its blueprint no longer exists), conflict
// (it has no sandbox to adopt, or its environment is known), unavailable (it is on a host of another daemon).
func (o *Orphans) Adopt(ctx context.Context, who fleet.Identity, ids []string) (OrphanReport, error) {
	return o.decide(ctx, who, ids, sweep.Decision{
		Orphan: func(h *target.Host, group []fleet.Orphan, seen sweep.Looked) error {
			err := o.cfg.Doubts.Adopt(ctx, who, h, group, seen.Networks)
			if len(ids) == 0 && (fleet.CodeOf(err) == fleet.CodeConflict || fleet.CodeOf(err) == fleet.CodeNotFound) {
				o.cfg.Logger.Warn("cannot adopt an orphan; it stays", "environment", group[0].EnvironmentID, "cause", err)
				return nil
			}
			return err
		},
		Doubt: func(env fleet.Environment, seen sweep.Looked) error {
			if f, there := seen.Doubted[env.ID]; there {
				return o.cfg.Doubts.Keep(ctx, who, env, &recovery.Standing{Found: f.Found, Host: f.Host})
			}
			return o.cfg.Doubts.Keep(ctx, who, env, nil)
		},
	})
}

// Purge deletes orphans and doubted environments now. ids are environment ids; none means all. Safe mode ends if
// nothing is left to decide.
//
// Errors: not_found (nothing to decide has that id), unavailable (it is on a host of another
// daemon, or its engine is away).
func (o *Orphans) Purge(ctx context.Context, who fleet.Identity, ids []string) (OrphanReport, error) {
	return o.decide(ctx, who, ids, sweep.Decision{
		Orphan: func(h *target.Host, group []fleet.Orphan, _ sweep.Looked) error {
			return o.cfg.Sweeper.Remove(ctx, h, group, who.User)
		},
		Doubt: func(env fleet.Environment, _ sweep.Looked) error {
			if err := o.cfg.Doubts.LetGo(ctx, who, env); err != nil {
				return err
			}
			o.cfg.Work.CancelCreate(env.ID)
			o.cfg.Bus.Nudge(bus.Work)
			return nil
		},
	})
}

// decide applies a decision, and ends safe mode if nothing is left to decide.
func (o *Orphans) decide(ctx context.Context, who fleet.Identity, ids []string, d sweep.Decision) (OrphanReport, error) {
	d.Done = func(ctx context.Context) error { return o.cfg.SafeMode.End(ctx, who) }
	if err := o.cfg.Sweeper.Decide(ctx, ids, d); err != nil {
		return OrphanReport{}, err
	}
	return o.report(context.WithoutCancel(ctx))
}
