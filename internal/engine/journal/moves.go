package journal

import (
	"context"
	"fmt"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// BeginDestroy records that an environment is to be destroyed. A worker that is
// creating it keeps the row until it has stopped, so that no two Terraforms run on one environment.
func BeginDestroy(env *fleet.Environment, reason string) {
	env.State, env.Reason = fleet.Destroying, reason
	env.Work.Action = fleet.Destroy
	env.Work.Attempts, env.Work.NotBefore, env.Work.Deadline, env.Work.LastError = 0, time.Time{}, time.Time{}, ""
}

// BeginLease starts a lease at hand-over, so that nobody pays for the making in time.
func BeginLease(env *fleet.Environment, now time.Time) {
	env.Lease.Start, env.Lease.End = now, now.Add(min(env.Lease.TTL, env.Lease.MaxTTL))
}

// Fail moves an environment to Failed; the next plan destroys what it left.
func Fail(env *fleet.Environment, f *fleet.Failure) {
	env.State, env.Reason, env.Failure = fleet.Failed, f.Sentence, f
	env.Work.Action, env.Work.Worker, env.Work.Until = fleet.None, "", time.Time{}
}

// Unbegun ends an environment for which nothing was ever begun, so that there is nothing to delete.
func (j *Journal) Unbegun(env *fleet.Environment, kind, reason string, now time.Time) store.Writes {
	env.State, env.Reason, env.DestroyedAt = fleet.Destroyed, reason, now
	env.Queue.Rank = 0
	return j.Recorded(env, kind, reason)
}

// PoolEvent makes an entry of the record about a pool.
func (j *Journal) PoolEvent(pool, actor, kind, format string, args ...any) fleet.Event {
	return fleet.Event{At: j.clock.Now(), Pool: pool, Actor: actor, Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// NoteMade counts a pool's creates that failed in a row; failure is empty for one that succeeded.
func (j *Journal) NoteMade(ctx context.Context, pool, failure string) {
	_, err := j.store.ChangePool(context.WithoutCancel(ctx), pool, 0, func(p *fleet.Pool) ([]fleet.Event, error) {
		if failure == "" {
			p.Failures = 0
			return nil, nil
		}
		p.Failures++
		return []fleet.Event{j.PoolEvent(pool, Self, "pool.failed", "a member could not be made, %d in a row: %s", p.Failures, failure)}, nil
	})
	if err != nil && fleet.CodeOf(err) != fleet.CodeNotFound {
		j.logger.Warn("counting a pool's failures failed", "pool", pool, "error", err)
	}
}
