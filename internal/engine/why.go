package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// whyEvents is how many of the newest entries of the record an answer shows.
const whyEvents = 20

// Why answers why an environment waits, is as it is, or is broken, and what to do next.
//
// Errors: not_found.
func (e *Engine) Why(ctx context.Context, who fleet.Identity, nameOrID string) (Why, error) {
	env, err := e.find(ctx, who, nameOrID)
	if err != nil {
		return Why{}, err
	}
	why := Why{Env: env}
	if why.Events, err = e.store.EventsBy(ctx, store.EventFilter{EnvironmentID: env.ID, Limit: whyEvents, Newest: true}); err != nil {
		return why, err
	}
	if env.State == fleet.Pending {
		why.Rank, why.ReadyAt = env.Queue.Rank, env.Queue.Estimate
		if why.Estimates, err = e.store.Estimates(ctx); err != nil {
			return why, err
		}
	}
	why.Cause, why.Next = cause(env, e.Now())
	if env.State == fleet.Destroying {
		if sentence, next := e.worker.Cause(env, e.Now()); sentence != "" {
			why.Cause, why.Next = sentence, next
		}
	}
	if env.State == fleet.Leased && env.Work.Action == fleet.None {
		if err := e.starvedSince(ctx, env, &why); err != nil {
			return why, err
		}
	}
	if err := e.blameHost(ctx, env, &why); err != nil {
		return why, err
	}
	return why, nil
}

// cause says in one sentence why an environment is as it is, and what to do next.
func cause(env fleet.Environment, now time.Time) (sentence, next string) {
	switch env.State {
	case fleet.Pending:
		return causeOfWaiting(env), "it goes on by itself; to stop waiting: bothy down " + env.Name
	case fleet.Provisioning:
		if env.Work.LastError != "" {
			return causeOfMaking(env)
		}
		return "it is being made on host " + env.Host + coldly(env), "watch it: bothy logs -f " + env.Name
	case fleet.Warm:
		return "it is kept ready for pool " + env.Pool, "see: bothy pool show " + env.Pool
	case fleet.Leased:
		return causeOfLeased(env, now)
	case fleet.Failed:
		return failure(env)
	case fleet.Destroying:
		if env.Work.LastError != "" {
			again := "" // tries that found something away are not counted
			if env.Work.Attempts > 0 {
				again = fmt.Sprintf(", try %d", env.Work.Attempts+1)
			}
			return fmt.Sprintf("taking it away did not succeed and is tried again%s: %s", again, env.Work.LastError),
				"it counts in quotas until it is gone; ask your platform team if this lasts, with: bothy logs " + env.Name
		}
		if env.Failure != nil {
			return failure(env)
		}
		return "it is being taken away: " + env.Reason, "it ends by itself"
	}
	if env.Failure != nil {
		return failure(env)
	}
	return "it is gone since " + env.DestroyedAt.Format(time.RFC3339), "what was checked: bothy receipt " + env.Name
}

// FailedTries is how many tries of an environment's present work did not succeed, those included that found something
// away and cost it nothing; of a destroy those are not known.
func FailedTries(env fleet.Environment) int {
	if env.Work.Action != fleet.Create || env.Work.LastError == "" {
		return env.Work.Attempts
	}
	tries := int(env.Work.Generation) // it rises with each
	if env.Work.Worker != "" {
		tries-- // the one that runs
	}
	return tries
}

func causeOfMaking(env fleet.Environment) (sentence, next string) {
	next = "the whole log: bothy logs " + env.Name
	if env.Work.Attempts == 0 {
		// No try counted, so what failed was nothing of its own.
		next = "it goes on by itself once that is mended; the platform team sees it with: bothy doctor"
	}
	return fmt.Sprintf("making it did not succeed and is tried again, try %d: %s", FailedTries(env)+1, env.Work.LastError), next
}

func coldly(env fleet.Environment) string {
	if env.Cold == "" {
		return ""
	}
	return ", from nothing: " + env.Cold
}

func causeOfWaiting(env fleet.Environment) string {
	if env.Reason == "" {
		return "it waits until a controller has looked at it"
	}
	return "it waits: " + env.Reason
}

func causeOfLeased(env fleet.Environment, now time.Time) (sentence, next string) {
	switch {
	case env.Work.Action == fleet.Personalise:
		sentence = "it was ready in pool " + env.Pool + " and is being handed over"
		if env.Work.LastError != "" {
			sentence += "; that did not succeed and is tried again: " + env.Work.LastError
		}
		return sentence, "it goes on by itself"
	case env.Lease.Expired(now):
		return "its lease ended at " + env.Lease.Ends().Format(time.RFC3339) + "; it is taken away next", "for another one: bothy up"
	case env.Lease.Warned:
		return "it is ready for use, and under a tenth of its lease is left" + restarted(env), "for more time: bothy extend " + env.Name + " --by 30m"
	}
	return "it is ready for use until " + env.Lease.Ends().Format(time.RFC3339) + coldly(env) + restarted(env), "use it: bothy shell " + env.Name
}

// restarted says what became of a sandbox that was started again while it was leased.
func restarted(env fleet.Environment) string {
	if env.Reason == "" {
		return ""
	}
	return "; " + env.Reason
}

func failure(env fleet.Environment) (sentence, next string) {
	if env.Failure == nil {
		return "it failed: " + env.Reason, "the whole log: bothy logs " + env.Name
	}
	next = env.Failure.Hint
	if next == "" {
		next = "the whole log: bothy logs " + env.Name
	}
	return "it failed: " + env.Failure.Sentence, next
}

// blameHost replaces the cause when it is the host that keeps an environment from going on.
func (e *Engine) blameHost(ctx context.Context, env fleet.Environment, why *Why) error {
	stuck, address, err := e.stuckOnHost(ctx, env)
	switch {
	case err != nil:
		return err
	case stuck != "":
		why.Cause, why.Next = "it stands on "+stuck, "nothing is lost; it goes on when the host is back. The platform team sees it with: bothy host ls"
	case address != "" && env.State == fleet.Leased:
		why.Next = fmt.Sprintf("use it at the daemon that serves its host%s: bothy --host %s shell %s", e.hosts.AboutAddress(address), address, env.Name)
	}
	return nil
}

// stuckOnHost tells how an environment's host keeps it from going on; "" when it does not, and then the address
// of the other daemon that serves it, if there is one.
func (e *Engine) stuckOnHost(ctx context.Context, env fleet.Environment) (stuck, address string, err error) {
	if env.Host == "" || !env.State.Live() {
		return "", "", nil
	}
	hosts, err := e.store.Hosts(ctx)
	if err != nil {
		return "", "", err
	}
	i := slices.IndexFunc(hosts, func(h fleet.Host) bool { return h.Name == env.Host })
	now := e.Now()
	switch {
	case i < 0:
		return "host " + env.Host + ", which is not known any more", "", nil
	case hosts[i].Lost(now):
		return fmt.Sprintf("host %s, which no daemon has served since %s", env.Host, hosts[i].SeenAt.Format(time.RFC3339)), "", nil
	case !hosts[i].Served(now):
		return fmt.Sprintf("host %s, which no running daemon serves now", env.Host), "", nil
	case hosts[i].Down != "":
		return fmt.Sprintf("host %s, which cannot be used now: %s", env.Host, hosts[i].Down), "", nil
	case e.hosts.Find(env.Host) == nil:
		return "", hosts[i].Address, nil
	}
	return "", "", nil
}

// starvedSince adds to a leased environment's cause that it ran out of memory, and what to do about it.
func (e *Engine) starvedSince(ctx context.Context, env fleet.Environment, why *Why) error {
	at, err := e.memory.LastAt(ctx, env)
	if err != nil || at.IsZero() {
		return err
	}
	why.Cause += fmt.Sprintf("; it ran out of memory at %s: the kernel killed processes in it (size %s has %d MiB)",
		at.UTC().Format(time.RFC3339), env.Size.Name, env.Size.MemoryMiB)
	if larger, ok := e.larger(env); ok {
		why.Next = "for more memory: bothy up --size " + larger.Name
	}
	return nil
}
