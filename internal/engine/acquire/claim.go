package acquire

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// claimTries is how many warm environments one request tries before a cold start.
const claimTries = 5

// take assigns a warm environment to the request. It runs inside the admitting transaction.
func (r *Requests) take(want, warm *fleet.Environment, now time.Time) (store.Writes, error) {
	before := *warm
	warm.Name, warm.Tenant, warm.Team, warm.Owner, warm.Share = want.Name, want.Tenant, want.Team, want.Owner, want.Share
	warm.Project, warm.PullRequest, warm.IdempotencyKey = want.Project, want.PullRequest, want.IdempotencyKey
	warm.Size.RateMicros, warm.Size.Currency = want.Size.RateMicros, want.Size.Currency
	warm.Vars, warm.SecretNames = want.Vars, want.SecretNames
	warm.State, warm.Reason, warm.Cold = fleet.Leased, "", ""
	warm.Lease, warm.Queue = want.Lease, fleet.Queue{Until: want.Queue.Until}
	journal.BeginLease(warm, now)
	warm.Work = fleet.Work{Action: fleet.Personalise, Generation: before.Work.Generation + 1}
	if r.cfg.Hosts.Serves(warm.Host) {
		warm.Work.Worker, warm.Work.Until = r.cfg.Worker, now.Add(r.cfg.WorkLease)
	}
	writes := store.Writes{Events: []fleet.Event{
		r.cfg.Journal.Event(warm, warm.Owner, "environment.claimed", "%s took it from pool %s for %s", warm.Owner, warm.Pool, warm.Lease.TTL),
	}}
	err := r.cfg.Journal.Book(&before, warm, now, &writes)
	return writes, err
}

// handOverClaim hands a claimed environment over to its owner. A bad one is destroyed and the next one tried, until one is good or
// none is left, which means a cold start. If another daemon serves the host of the last one, the result still is to be personalised.
func (r *Requests) handOverClaim(ctx context.Context, w *wish, env fleet.Environment) (fleet.Environment, error) {
	for try := 1; env.State == fleet.Leased && env.Work.Worker == r.cfg.Worker; try++ {
		if err := r.cfg.Safety.NoteMarks(); err != nil {
			return env, fmt.Errorf("hand over: %w", err)
		}
		r.cfg.Bus.Nudge(bus.Mark)
		files := append(r.cfg.Vault.AsFiles(w.secrets), r.cfg.Certificates.Files()...)
		cause := r.cfg.Warm.HandOver(ctx, env, files)
		if cause == nil {
			r.cfg.Certificates.Handed(env, files)
			return r.recordHandOver(ctx, env)
		}
		if errors.Is(cause, provisioner.ErrUsed) {
			// Not deleted: the database, which was set back, does not know its user.
			handing := func(row *fleet.Environment) bool {
				return row.Work.Action == fleet.Personalise && row.Work.Generation == env.Work.Generation
			}
			unknown, err := r.cfg.Doubts.Disbelieve(ctx, env.ID, handing)
			if err != nil {
				return env, fmt.Errorf("hand over: %w", err)
			}
			if !unknown {
				return env, nil // this process was too slow, so another one does it
			}
		}
		r.cfg.Logger.Warn("a warm environment was bad; another one is given", "environment", env.ID, "pool", env.Pool, "cause", cause)
		next, err := r.replace(ctx, w, env, cause, try < claimTries && !provisioner.IsUnavailable(cause))
		switch {
		case errors.Is(err, store.ErrFenced):
			return env, nil // this process was too slow, so another one does it
		case fleet.CodeOf(err) == fleet.CodeConflict:
			return r.recordHandOver(ctx, env) // it was released meanwhile
		case err != nil:
			return env, fmt.Errorf("replace a bad warm environment: %w", err)
		}
		env = next
	}
	return env, nil
}

// recordHandOver ends the personalising of an environment. If it was released meanwhile, the worker may destroy it.
func (r *Requests) recordHandOver(ctx context.Context, env fleet.Environment) (fleet.Environment, error) {
	ready, err := r.cfg.Journal.Change(context.WithoutCancel(ctx), env.ID, store.Expect{Generation: env.Work.Generation},
		func(row *fleet.Environment) (store.Writes, error) {
			if row.Work.Action != fleet.Personalise {
				row.Work.Worker, row.Work.Until = "", time.Time{}
				return store.Writes{}, nil
			}
			row.Work, row.Paused, row.Queue = fleet.Work{Generation: row.Work.Generation}, false, fleet.Queue{}
			writes := store.Writes{Events: []fleet.Event{
				r.cfg.Journal.Event(row, journal.Self, "environment.ready", "handed over, leased until %s", row.Lease.End.Format(time.RFC3339)),
			}}
			if len(row.SecretNames) > 0 {
				writes.Secrets = []byte{}
			}
			return writes, nil
		})
	if errors.Is(err, store.ErrFenced) {
		return env, nil
	}
	if err != nil {
		return env, fmt.Errorf("record hand-over: %w", err)
	}
	if ready.Work.Action != fleet.None {
		r.cfg.Bus.Nudge(bus.Work)
	}
	return ready, nil
}

// replace gives the request of a bad environment another one: a warm one, or a cold start if again is false or none is left.
func (r *Requests) replace(ctx context.Context, w *wish, bad fleet.Environment, cause error, again bool) (fleet.Environment, error) {
	now := r.cfg.Clock.Now()
	next := *w
	next.env.Name, next.noPool = bad.Name, w.noPool || !again
	next.env.Cold = fmt.Sprintf("the ready one of pool %s that it was given was bad: %s", bad.Pool, provisioner.Sentence(cause))
	a, err := r.admission(&next, now)
	if err != nil {
		return bad, err
	}
	// It was admitted before, and its reservation stays.
	a.Decide = nil
	strip := func(row *fleet.Environment) (store.Writes, error) { return r.strip(row, cause, now) }
	got, err := r.cfg.Store.Replace(context.WithoutCancel(ctx), bad.ID, bad.Work.Generation, strip, a)
	if err != nil {
		return bad, err
	}
	r.cfg.Bus.Nudge(bus.Plan, bus.Work)
	return got.Env, nil
}

// strip removes the owner of a bad environment, and has it destroyed.
func (r *Requests) strip(row *fleet.Environment, cause error, now time.Time) (store.Writes, error) {
	before := *row
	writes := store.Writes{Events: []fleet.Event{
		r.cfg.Journal.Event(row, journal.Self, "environment.unhealthy", "it was not handed over and is deleted: %s", provisioner.Sentence(cause)),
	}}
	row.Name, row.Tenant, row.Team, row.Owner, row.Share = row.ID, "", "", "", ""
	row.Project, row.PullRequest, row.IdempotencyKey = "", "", ""
	row.Vars, row.SecretNames, row.HeldMicros, row.HeldFor = nil, nil, 0, 0
	if errors.Is(cause, provisioner.ErrUsed) {
		row.Work, row.Lease.End = fleet.Work{Generation: row.Work.Generation}, now
		row.Reason, row.Doubted = "somebody has it whom the database does not know", true
		writes.Events[0] = r.cfg.Journal.Event(row, journal.Self, "environment.used", "it was not handed over and is left as it is: it was used by somebody before")
		err := r.cfg.Journal.Book(&before, row, now, &writes)
		return writes, err
	}
	journal.BeginDestroy(row, "it was bad when it was to be handed over: "+provisioner.Sentence(cause))
	row.Work.Worker, row.Work.Until = "", time.Time{}
	err := r.cfg.Journal.Book(&before, row, now, &writes)
	return writes, err
}

// awaitHandOver waits while another daemon, or an earlier try of this one, hands an environment over. If no daemon
// does that in time, the request gets a cold start.
func (r *Requests) awaitHandOver(ctx context.Context, w *wish, env fleet.Environment) (fleet.Environment, error) {
	wait, cancel := context.WithTimeout(ctx, r.cfg.WorkLease+handOverSlack)
	defer cancel()
	woken := r.cfg.Followers.Subscribe(env.ID, false)
	defer woken.Stop()
	r.cfg.Bus.Nudge(bus.Work)
	for {
		row, err := r.cfg.Store.Get(ctx, env.ID)
		if err == nil && row.Tenant == "" {
			// It was bad. Its replacement has the name.
			row, err = r.cfg.Store.Find(ctx, store.Lookup{Name: env.Name, Tenant: env.Tenant})
		}
		switch {
		case err != nil:
			return env, err
		case row.State != fleet.Leased || row.Work.Action != fleet.Personalise:
			return row, nil
		case row.ID != env.ID:
			return r.awaitHandOver(ctx, w, row)
		case r.cfg.Followers.Wait(wait, woken) == nil:
		case row.Work.Worker != "" || ctx.Err() != nil:
			return row, nil // the hand-over continues; the caller may watch it
		default:
			return r.abandon(ctx, w, row)
		}
	}
}

// handOverSlack is how much longer than a work lease to wait for a hand-over by another daemon.
const handOverSlack = 2 * time.Second

// abandon gives a request another environment, because no daemon serves the host of its present one.
func (r *Requests) abandon(ctx context.Context, w *wish, row fleet.Environment) (fleet.Environment, error) {
	cause := provisioner.Errorf(provisioner.Transient, "hand over environment", "no daemon serves host %s", row.Host)
	next, err := r.replace(ctx, w, row, cause, false)
	if errors.Is(err, store.ErrFenced) || fleet.CodeOf(err) == fleet.CodeConflict {
		return row, nil // another daemon has just started the hand-over, or it was released
	}
	return next, err
}

// HandOver completes a claim that its own process did not complete, or that this daemon must complete because it serves the host.
// An error means: try again.
func (r *Requests) HandOver(ctx context.Context, env fleet.Environment) error {
	secrets, err := r.cfg.Vault.Secrets(ctx, env)
	if err == nil {
		// Another daemon may have recorded the claim, or this one without a reply from the database.
		err = r.cfg.Safety.LookAndMark(ctx)
	}
	if err != nil {
		return fmt.Errorf("hand over: %w", err)
	}
	w := &wish{env: wishedRow(env), secrets: secrets}
	if _, err := r.handOverClaim(ctx, w, env); err != nil {
		r.cfg.Logger.Error("handing over failed; it is tried again", "environment", env.Name, "error", err)
	}
	return nil
}

// wishedRow is the row that the request of a claimed environment would have without a pool.
func wishedRow(env fleet.Environment) fleet.Environment {
	return fleet.Environment{
		Name: env.Name, Tenant: env.Tenant, Team: env.Team, Owner: env.Owner, Share: env.Share,
		Project: env.Project, PullRequest: env.PullRequest, IdempotencyKey: env.IdempotencyKey,
		Blueprint: env.Blueprint, Size: env.Size, Image: env.Image, Users: env.Users, Workspace: env.Workspace,
		Inputs: env.Inputs, MatchKey: env.MatchKey, Vars: env.Vars, SecretNames: env.SecretNames,
		State: fleet.Pending,
		Lease: fleet.Lease{TTL: env.Lease.TTL, MaxTTL: env.Lease.MaxTTL, Idle: env.Lease.Idle},
		Queue: fleet.Queue{Until: env.Queue.Until},
	}
}
