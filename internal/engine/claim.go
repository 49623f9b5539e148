package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/engine/vault"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// claimTries is how many warm environments one request tries before it goes cold.
const claimTries = 5

// take makes a warm environment the request's. It runs inside the admitting transaction.
func (e *Engine) take(want, warm *fleet.Environment, now time.Time) (store.Writes, error) {
	before := *warm
	warm.Name, warm.Tenant, warm.Team, warm.Owner, warm.Share = want.Name, want.Tenant, want.Team, want.Owner, want.Share
	warm.Project, warm.PullRequest, warm.IdempotencyKey = want.Project, want.PullRequest, want.IdempotencyKey
	warm.Size.RateMicros, warm.Size.Currency = want.Size.RateMicros, want.Size.Currency
	warm.Vars, warm.SecretNames = want.Vars, want.SecretNames
	warm.State, warm.Reason, warm.Cold = fleet.Leased, "", ""
	warm.Lease, warm.Queue = want.Lease, fleet.Queue{Until: want.Queue.Until}
	journal.BeginLease(warm, now)
	warm.Work = fleet.Work{Action: fleet.Personalise, Generation: before.Work.Generation + 1}
	if e.hosts.Serves(warm.Host) {
		warm.Work.Worker, warm.Work.Until = e.cfg.Worker, now.Add(e.cfg.WorkLease)
	}
	writes := store.Writes{Events: []fleet.Event{
		e.journal.Event(warm, warm.Owner, "environment.claimed", "%s took it from pool %s for %s", warm.Owner, warm.Pool, warm.Lease.TTL),
	}}
	err := e.journal.Book(&before, warm, now, &writes)
	return writes, err
}

// handOverClaim makes a claimed environment its holder's. One that turns out bad is destroyed and the next is tried,
// until one is good or none is left; the request then goes cold. The result is still to be personalised when
// the last one stands on a host that another daemon serves.
func (e *Engine) handOverClaim(ctx context.Context, w *wish, env fleet.Environment) (fleet.Environment, error) {
	for try := 1; env.State == fleet.Leased && env.Work.Worker == e.cfg.Worker; try++ {
		if err := e.safeMode.NoteMarks(); err != nil {
			return env, fmt.Errorf("hand over: %w", err)
		}
		e.bus.Nudge(bus.Mark)
		files := append(vault.Files(w.secrets), e.certificates.Files()...)
		cause := e.warmpool.HandOver(ctx, env, files)
		if cause == nil {
			e.certificates.Handed(env, files)
			return e.recordHandOver(ctx, env)
		}
		if errors.Is(cause, provisioner.ErrUsed) {
			// Not taken away: whoever uses it is not known to a database that is behind.
			handing := func(row *fleet.Environment) bool {
				return row.Work.Action == fleet.Personalise && row.Work.Generation == env.Work.Generation
			}
			unknown, err := e.doubts.Disbelieve(ctx, env.ID, handing)
			if err != nil {
				return env, fmt.Errorf("hand over: %w", err)
			}
			if !unknown {
				return env, nil // this process was too slow, and another one does it
			}
		}
		e.logger.Warn("a warm environment was bad; another one is given", "environment", env.ID, "pool", env.Pool, "cause", cause)
		next, err := e.replace(ctx, w, env, cause, try < claimTries && !provisioner.IsUnavailable(cause))
		switch {
		case errors.Is(err, store.ErrFenced):
			return env, nil // this process was too slow, and another one does it
		case fleet.CodeOf(err) == fleet.CodeConflict:
			return e.recordHandOver(ctx, env) // it was released meanwhile
		case err != nil:
			return env, fmt.Errorf("replace a bad warm environment: %w", err)
		}
		env = next
	}
	return env, nil
}

// recordHandOver ends the personalising of an environment. One that was released meanwhile is let go, to be destroyed.
func (e *Engine) recordHandOver(ctx context.Context, env fleet.Environment) (fleet.Environment, error) {
	ready, err := e.journal.Change(context.WithoutCancel(ctx), env.ID, store.Expect{Generation: env.Work.Generation},
		func(row *fleet.Environment) (store.Writes, error) {
			if row.Work.Action != fleet.Personalise {
				row.Work.Worker, row.Work.Until = "", time.Time{}
				return store.Writes{}, nil
			}
			row.Work, row.Paused, row.Queue = fleet.Work{Generation: row.Work.Generation}, false, fleet.Queue{}
			writes := store.Writes{Events: []fleet.Event{
				e.journal.Event(row, journal.Self, "environment.ready", "handed over, leased until %s", row.Lease.End.Format(time.RFC3339)),
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
		e.bus.Nudge(bus.Work)
	}
	return ready, nil
}

// replace takes a bad environment away from its request, which gets another one: warm, or cold when again is false or none is left.
func (e *Engine) replace(ctx context.Context, w *wish, bad fleet.Environment, cause error, again bool) (fleet.Environment, error) {
	now := e.Now()
	next := *w
	next.env.Name, next.noPool = bad.Name, w.noPool || !again
	next.env.Cold = fmt.Sprintf("the ready one of pool %s that it was given was bad: %s", bad.Pool, provisioner.Sentence(cause))
	a, err := e.admission(&next, now)
	if err != nil {
		return bad, err
	}
	// It was admitted before, and holds what it held.
	a.Decide = nil
	strip := func(row *fleet.Environment) (store.Writes, error) { return e.strip(row, cause, now) }
	got, err := e.store.Replace(context.WithoutCancel(ctx), bad.ID, bad.Work.Generation, strip, a)
	if err != nil {
		return bad, err
	}
	e.bus.Nudge(bus.Plan, bus.Work)
	return got.Env, nil
}

// strip makes a bad environment nobody's, to be destroyed.
func (e *Engine) strip(row *fleet.Environment, cause error, now time.Time) (store.Writes, error) {
	before := *row
	writes := store.Writes{Events: []fleet.Event{
		e.journal.Event(row, journal.Self, "environment.unhealthy", "it was not handed over and is taken away: %s", provisioner.Sentence(cause)),
	}}
	row.Name, row.Tenant, row.Team, row.Owner, row.Share = row.ID, "", "", "", ""
	row.Project, row.PullRequest, row.IdempotencyKey = "", "", ""
	row.Vars, row.SecretNames, row.HeldMicros, row.HeldFor = nil, nil, 0, 0
	if errors.Is(cause, provisioner.ErrUsed) {
		row.Work, row.Lease.End = fleet.Work{Generation: row.Work.Generation}, now
		row.Reason, row.Doubted = "somebody has it whom the database does not know", true
		writes.Events[0] = e.journal.Event(row, journal.Self, "environment.used", "it was not handed over and is left as it is: it was used by somebody before")
		err := e.journal.Book(&before, row, now, &writes)
		return writes, err
	}
	journal.BeginDestroy(row, "it was bad when it was to be handed over: "+provisioner.Sentence(cause))
	row.Work.Worker, row.Work.Until = "", time.Time{}
	err := e.journal.Book(&before, row, now, &writes)
	return writes, err
}

// awaitHandOver waits while another daemon, or an earlier try of this one, hands an environment over. When nobody
// takes that up in time, the request goes cold.
func (e *Engine) awaitHandOver(ctx context.Context, w *wish, env fleet.Environment) (fleet.Environment, error) {
	wait, cancel := context.WithTimeout(ctx, e.cfg.WorkLease+handOverSlack)
	defer cancel()
	woken := e.followers.Subscribe(env.ID, false)
	defer woken.Stop()
	e.bus.Nudge(bus.Work)
	for {
		row, err := e.store.Get(ctx, env.ID)
		if err == nil && row.Tenant == "" {
			// It was bad and was taken away from the request; what came in its place has the name.
			row, err = e.store.Find(ctx, store.Lookup{Name: env.Name, Tenant: env.Tenant})
		}
		switch {
		case err != nil:
			return env, err
		case row.State != fleet.Leased || row.Work.Action != fleet.Personalise:
			return row, nil
		case row.ID != env.ID:
			return e.awaitHandOver(ctx, w, row)
		case e.followers.Wait(wait, woken) == nil:
		case row.Work.Worker != "" || ctx.Err() != nil:
			return row, nil // it is being handed over; whoever asked may watch it
		default:
			return e.abandon(ctx, w, row)
		}
	}
}

// handOverSlack is how much longer than a work lease a hand-over elsewhere is waited for.
const handOverSlack = 2 * time.Second

// abandon gives a request another environment, as nobody serves the host of the one that it was given.
func (e *Engine) abandon(ctx context.Context, w *wish, row fleet.Environment) (fleet.Environment, error) {
	cause := provisioner.Errorf(provisioner.Transient, "hand over environment", "no daemon serves host %s", row.Host)
	next, err := e.replace(ctx, w, row, cause, false)
	if errors.Is(err, store.ErrFenced) || fleet.CodeOf(err) == fleet.CodeConflict {
		return row, nil // somebody has just taken it up, or it was released
	}
	return next, err
}

// personaliseLate does what a claim's own process did not get to, or what is for this daemon to do as it serves the host. An error says that it
// is to be tried again.
func (e *Engine) personaliseLate(ctx context.Context, env fleet.Environment) error {
	secrets, err := e.vault.Secrets(ctx, env)
	if err == nil {
		// Another daemon may have recorded the claim, or this one without an answer.
		err = e.safeMode.LookAndMark(ctx)
	}
	if err != nil {
		return fmt.Errorf("hand over: %w", err)
	}
	w := &wish{env: wishedRow(env), secrets: secrets}
	if _, err := e.handOverClaim(ctx, w, env); err != nil {
		e.logger.Error("handing over failed; it is tried again", "environment", env.Name, "error", err)
	}
	return nil
}

// wishedRow is what the request of a claimed environment would have been without a pool.
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
