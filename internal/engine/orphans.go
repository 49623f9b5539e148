package engine

import (
	"context"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/recovery"
	"github.com/bothy-env/bothy/internal/engine/sweep"
	"github.com/bothy-env/bothy/internal/fleet"
)

// Orphans gives what exists at the provider and no environment accounts for.
func (e *Engine) Orphans(ctx context.Context, _ fleet.Identity) (OrphanReport, error) {
	return e.orphanReport(ctx)
}

func (e *Engine) orphanReport(ctx context.Context) (OrphanReport, error) {
	unsafe, err := e.safeMode.Reason(ctx)
	if err != nil {
		return OrphanReport{}, err
	}
	all, err := e.store.Orphans(ctx)
	if err != nil {
		return OrphanReport{}, err
	}
	doubted, err := e.doubts.All(ctx)
	return OrphanReport{Safe: unsafe != "", Reason: unsafe, Orphans: all, Doubted: doubted}, err
}

// AdoptOrphans keeps what exists. Orphans become environments: each is leased, from now on, to the user that its labels name, in
// their size, tenant and team, for its blueprint's default time and at the price of now. Doubted environments stay their
// holder's, for at least the time that they were asked for, from now; those that belong to nobody are leased to who. ids are
// environment ids; none takes all that can be kept. It ends safe mode when nothing is left to decide on.
//
// Errors: not_found (nothing to decide on has that id, or its blueprint is gone), conflict
// (there is no sandbox to adopt, or its environment is known), unavailable (it is on a host of another daemon).
func (e *Engine) AdoptOrphans(ctx context.Context, who fleet.Identity, ids []string) (OrphanReport, error) {
	return e.decideOrphans(ctx, who, ids, sweep.Decision{
		Orphan: func(h *Host, group []fleet.Orphan, seen sweep.Looked) error {
			err := e.doubts.Adopt(ctx, who, h, group, seen.Networks)
			if len(ids) == 0 && (fleet.CodeOf(err) == fleet.CodeConflict || fleet.CodeOf(err) == fleet.CodeNotFound) {
				e.logger.Warn("an orphan cannot be adopted; it is left", "environment", group[0].EnvironmentID, "cause", err)
				return nil
			}
			return err
		},
		Doubt: func(env fleet.Environment, seen sweep.Looked) error {
			if f, there := seen.Doubted[env.ID]; there {
				return e.doubts.Keep(ctx, who, env, &recovery.Standing{Found: f.Found, Host: f.Host})
			}
			return e.doubts.Keep(ctx, who, env, nil)
		},
	})
}

// PurgeOrphans removes orphans, and doubted environments, now. ids are environment ids; none takes all. It ends safe mode when
// nothing is left to decide on.
//
// Errors: not_found (nothing to decide on has that id), unavailable (it is on a host of another
// daemon, or its engine is away).
func (e *Engine) PurgeOrphans(ctx context.Context, who fleet.Identity, ids []string) (OrphanReport, error) {
	return e.decideOrphans(ctx, who, ids, sweep.Decision{
		Orphan: func(h *Host, group []fleet.Orphan, _ sweep.Looked) error {
			return e.sweeper.Remove(ctx, h, group, who.User)
		},
		Doubt: func(env fleet.Environment, _ sweep.Looked) error {
			if err := e.doubts.LetGo(ctx, who, env); err != nil {
				return err
			}
			e.worker.CancelCreate(env.ID)
			e.bus.Nudge(bus.Work)
			return nil
		},
	})
}

// decideOrphans does what somebody decided, and ends safe mode when nothing is left to decide on.
func (e *Engine) decideOrphans(ctx context.Context, who fleet.Identity, ids []string, d sweep.Decision) (OrphanReport, error) {
	d.Done = func(ctx context.Context) error { return e.safeMode.End(ctx, who) }
	if err := e.sweeper.Decide(ctx, ids, d); err != nil {
		return OrphanReport{}, err
	}
	return e.orphanReport(context.WithoutCancel(ctx))
}
