package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
	"github.com/bothy-env/bothy/internal/store"
)

// recordActions writes the actions of a plan down, in its order. What has moved since is dropped and planned again.
func (c *Controller) recordActions(ctx context.Context, m *memory, p plan.Plan, around surroundings, now time.Time) error {
	var errs []error
	for _, a := range p.Actions {
		err := c.record(ctx, a, around, now)
		if errors.Is(err, store.ErrMoved) || a.Pool != "" && fleet.CodeOf(err) == fleet.CodeNotFound {
			m.dropped = true
			continue
		}
		errs = append(errs, err)
	}
	if len(p.Actions) > 0 {
		// What was written may let something else happen: what is destroyed at once frees its place.
		c.bus.Nudge(bus.Work, bus.Plan)
	}
	return errors.Join(errs...)
}

func (c *Controller) record(ctx context.Context, a plan.Action, around surroundings, now time.Time) error {
	switch a.Kind {
	case plan.Refill:
		return c.refill(ctx, a, around, now)
	case plan.Hold:
		return c.holdPool(ctx, a, now)
	}
	env, err := c.journal.Change(ctx, a.EnvironmentID, store.Expect{Revision: a.Revision}, func(env *fleet.Environment) (store.Writes, error) {
		switch a.Kind {
		case plan.Start:
			return c.recordStart(env, a, now), nil
		case plan.Destroy:
			return c.recordDestroy(env, a, now), nil
		case plan.GiveUp:
			journal.Fail(env, &fleet.Failure{Code: fleet.CodeProvision, Sentence: giveUpSentence(env, a.Reason), At: now})
			return c.journal.Recorded(env, "environment.failed", env.Failure.Sentence), nil
		case plan.Refuse:
			return c.recordRefuse(env, a, now), nil
		case plan.Warn:
			env.Lease.Warned = true
			return c.journal.Recorded(env, "lease.low", fmt.Sprintf("the lease ends at %s: %s", env.Lease.Ends().Format(time.RFC3339), a.Reason)), nil
		}
		return store.Writes{}, fmt.Errorf("record action: %q is not known", a.Kind)
	})
	if err == nil && a.Kind == plan.GiveUp && env.ForPool() {
		c.journal.NoteMade(ctx, env.Pool, env.Failure.Sentence)
	}
	return err
}

func (c *Controller) recordStart(env *fleet.Environment, a plan.Action, now time.Time) store.Writes {
	env.State, env.Reason, env.Host = fleet.Provisioning, "", a.Host
	env.Queue.Rank = 0
	env.Work = fleet.Work{Action: fleet.Create, Generation: env.Work.Generation, Deadline: now.Add(c.cfg.CreateDeadline)}
	message := fmt.Sprintf("creating from %s on host %s", env.Blueprint, env.Host)
	if env.Cold != "" {
		message += " (cold: " + env.Cold + ")"
	}
	return c.journal.Recorded(env, "environment.provisioning", message)
}

func (c *Controller) recordDestroy(env *fleet.Environment, a plan.Action, now time.Time) store.Writes {
	if env.State == fleet.Pending {
		return c.journal.Unbegun(env, "environment.destroyed", "it is not needed any more: "+a.Reason, now)
	}
	kind := "environment.destroying"
	if env.State == fleet.Leased {
		kind = "lease.expired"
	}
	journal.BeginDestroy(env, a.Reason)
	return c.journal.Recorded(env, kind, "taking it away: "+a.Reason)
}

func (c *Controller) recordRefuse(env *fleet.Environment, a plan.Action, now time.Time) store.Writes {
	sentence := fmt.Sprintf("gave up waiting after %s", env.Queue.Until.Sub(env.CreatedAt).Round(time.Second))
	if env.Reason != "" {
		sentence += ": " + env.Reason
	}
	env.Failure = &fleet.Failure{
		Code: fleet.CodeQuota, Sentence: sentence, At: now,
		Hint: "try again later, or wait longer: bothy up --queue-timeout",
	}
	return c.journal.Unbegun(env, "environment.refused", sentence, now)
}

func giveUpSentence(env *fleet.Environment, reason string) string {
	if env.Work.LastError != "" {
		return reason + ": " + env.Work.LastError
	}
	return reason
}

// refill writes new members of a pool, to be made when there is room.
func (c *Controller) refill(ctx context.Context, a plan.Action, around surroundings, now time.Time) error {
	i := slices.IndexFunc(around.pools, func(p Pool) bool { return p.Name == a.Pool })
	if i < 0 {
		return fleet.Errorf(fleet.CodeNotFound, "refill pool %s: no such pool", a.Pool)
	}
	pool := around.pools[i]
	var members []fleet.Environment
	var events []fleet.Event
	for range a.Count {
		member := pool.Member()
		member.ID, member.Pool, member.MatchKey = c.cfg.NewID(), pool.Name, pool.MatchKey
		member.Name = "pool-" + pool.Name + "-" + member.ID[len(member.ID)-6:]
		member.CreatedAt, member.UpdatedAt = now, now
		members = append(members, member)
		events = append(events, c.journal.Event(&member, journal.Self, "environment.requested", "pool %s asked for %s, size %s: %s", pool.Name, member.Blueprint, member.Size.Name, a.Reason))
	}
	return c.store.Refill(ctx, pool.Name, a.Revision, members, events)
}

// holdPool stops a pool that keeps failing.
func (c *Controller) holdPool(ctx context.Context, a plan.Action, now time.Time) error {
	_, err := c.store.ChangePool(ctx, a.Pool, a.Revision, func(p *fleet.Pool) ([]fleet.Event, error) {
		p.Held, p.HeldAt = a.Reason, now
		return []fleet.Event{c.journal.PoolEvent(a.Pool, journal.Self, "pool.held", "nothing is made for it any more: %s", a.Reason)}, nil
	})
	if err == nil {
		c.logger.Warn("a pool is held", "pool", a.Pool, "reason", a.Reason, "next", "bothy pool resume "+a.Pool)
	}
	return err
}

const (
	// tellEvery is how often places in the queue are written down: each admission moves all that come after.
	tellEvery = time.Second
	// estimateMoved is by how much an expected time must move to be reported again, or by a tenth of what is left if that is more.
	estimateMoved = 5 * time.Second
)

// recordWaits keeps rank, expected time and reason where those who wait see them.
func (c *Controller) recordWaits(ctx context.Context, m *memory, s plan.Snapshot, p plan.Plan, now time.Time) error {
	if len(p.Waiting) == 0 {
		return nil
	}
	rows := make(map[string]*fleet.Environment, len(p.Waiting))
	for i := range s.Environments {
		rows[s.Environments[i].ID] = &s.Environments[i]
	}
	due := now.Sub(m.told).Abs() >= tellEvery
	if due {
		m.told = now
	}
	var errs []error
	for _, w := range p.Waiting {
		row := rows[w.EnvironmentID]
		if row == nil || !news(row, w, now) {
			continue
		}
		if !due && onlyMoved(row, w) {
			m.planBy(m.told.Add(tellEvery))
			continue
		}
		err := c.recordWait(ctx, w)
		if errors.Is(err, store.ErrMoved) {
			m.dropped = true
			continue
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// onlyMoved reports whether all that is new is a place or a time: it can wait a moment.
func onlyMoved(row *fleet.Environment, w plan.Wait) bool {
	return row.Queue.Rank != 0 && row.Reason == plan.Text(w.Causes) && row.Queue.Estimate.IsZero() == w.Estimate.IsZero()
}

// news reports whether a place in the queue is worth telling.
func news(row *fleet.Environment, w plan.Wait, now time.Time) bool {
	if row.Queue.Rank != w.Rank || !onlyMoved(row, w) {
		return true
	}
	moved := w.Estimate.Sub(row.Queue.Estimate).Abs()
	return moved > max(estimateMoved, row.Queue.Estimate.Sub(now).Abs()/10)
}

func (c *Controller) recordWait(ctx context.Context, w plan.Wait) error {
	_, err := c.journal.Change(ctx, w.EnvironmentID, store.Expect{Revision: w.Revision}, func(env *fleet.Environment) (store.Writes, error) {
		reason := plan.Text(w.Causes)
		known := env.Reason == reason && env.Queue.Rank != 0
		env.Reason, env.Queue.Rank, env.Queue.Estimate = reason, w.Rank, w.Estimate
		if env.Queue.First.IsZero() {
			env.Queue.First = w.Estimate
		}
		if known {
			return store.Writes{}, nil
		}
		return c.journal.Recorded(env, "environment.waiting", strings.TrimSpace(fmt.Sprintf("waiting, rank %d: %s", w.Rank, reason))), nil
	})
	return err
}
