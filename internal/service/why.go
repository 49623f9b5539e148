package service

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// Why is the answer to "why is it waiting or broken".
type Why struct {
	Env fleet.Environment
	// Cause is one sentence, Next the next step.
	Cause, Next string
	// Rank (queue position) and ReadyAt (ETA) are set while it waits; Estimates is how accurate past ETAs were.
	Rank      int
	ReadyAt   time.Time
	Estimates fleet.Estimate
	// Events are its newest, oldest first.
	Events []fleet.Event
}

// whyEvents is how many events an answer has.
const whyEvents = 20

// Why returns why an environment waits, is in its present state, or is broken, and the next step.
//
// Errors: not_found.
func (e *Environments) Why(ctx context.Context, who fleet.Identity, nameOrID string) (Why, error) {
	env, err := e.Find(ctx, who, nameOrID)
	if err != nil {
		return Why{}, err
	}
	why := Why{Env: env}
	if why.Events, err = e.cfg.Store.EventsBy(ctx, store.EventFilter{EnvironmentID: env.ID, Limit: whyEvents, Newest: true}); err != nil {
		return why, err
	}
	if env.State == fleet.Pending {
		why.Rank, why.ReadyAt = env.Queue.Rank, env.Queue.Estimate
		if why.Estimates, err = e.cfg.Store.Estimates(ctx); err != nil {
			return why, err
		}
	}
	why.Cause, why.Next = cause(env, e.cfg.Clock.Now())
	if env.State == fleet.Destroying {
		if sentence, next := e.cfg.Work.Cause(env, e.cfg.Clock.Now()); sentence != "" {
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

// cause returns, in one sentence, why an environment is in its present state, and the next step.
func cause(env fleet.Environment, now time.Time) (sentence, next string) {
	switch env.State {
	case fleet.Pending:
		return causeOfWaiting(env), "it continues by itself; to stop waiting: bothy down " + env.Name
	case fleet.Provisioning:
		if env.Work.LastError != "" {
			return causeOfMaking(env)
		}
		return "it is being created on host " + env.Host + coldly(env), "watch it: bothy logs -f " + env.Name
	case fleet.Warm:
		return "it is kept ready for pool " + env.Pool, "see: bothy pool show " + env.Pool
	case fleet.Leased:
		return causeOfLeased(env, now)
	case fleet.Failed:
		return failure(env)
	case fleet.Destroying:
		if env.Work.LastError != "" {
			again := "" // tries that found the host or engine away do not count
			if env.Work.Attempts > 0 {
				again = fmt.Sprintf(", try %d", env.Work.Attempts+1)
			}
			return fmt.Sprintf("cannot delete it, and tries again%s: %s", again, env.Work.LastError),
				"it counts towards quotas until it is deleted; if this lasts, send your platform team the output of: bothy logs " + env.Name
		}
		if env.Failure != nil {
			return failure(env)
		}
		return "it is being deleted: " + env.Reason, "wait"
	}
	if env.Failure != nil {
		return failure(env)
	}
	return "it was deleted at " + env.DestroyedAt.Format(time.RFC3339), "the proof: bothy receipt " + env.Name
}

// FailedTries is how many tries of an environment's present work failed. For a create, it includes those that found the host or
// engine away, which do not count towards its limit of tries.
func FailedTries(env fleet.Environment) int {
	if env.Work.Action != fleet.Create || env.Work.LastError == "" {
		return env.Work.Attempts
	}
	tries := int(env.Work.Generation) // rises with each try
	if env.Work.Worker != "" {
		tries-- // the running one
	}
	return tries
}

func causeOfMaking(env fleet.Environment) (sentence, next string) {
	next = "the whole log: bothy logs " + env.Name
	if env.Work.Attempts == 0 {
		// No try counted, so the failure is not its own.
		next = "it continues by itself once that is fixed; your platform team sees it with: bothy doctor"
	}
	return fmt.Sprintf("cannot create it, and tries again, try %d: %s", FailedTries(env)+1, env.Work.LastError), next
}

func coldly(env fleet.Environment) string {
	if env.Cold == "" {
		return ""
	}
	return ", a cold start: " + env.Cold
}

func causeOfWaiting(env fleet.Environment) string {
	if env.Reason == "" {
		return "it waits for the next plan"
	}
	return "it waits: " + env.Reason
}

func causeOfLeased(env fleet.Environment, now time.Time) (sentence, next string) {
	switch {
	case env.Work.Action == fleet.Personalise:
		sentence = "it was ready in pool " + env.Pool + " and is being handed over"
		if env.Work.LastError != "" {
			sentence += "; that failed, and is retried: " + env.Work.LastError
		}
		return sentence, "it continues by itself"
	case env.Lease.Expired(now):
		return "its lease expired at " + env.Lease.Ends().Format(time.RFC3339) + "; it is deleted next", "for another one: bothy up"
	case env.Lease.Warned:
		return "it is ready for use, and less than a tenth of its lease is left" + restarted(env), "for more time: bothy extend " + env.Name + " --by 30m"
	}
	return "it is ready for use until " + env.Lease.Ends().Format(time.RFC3339) + coldly(env) + restarted(env), "use it: bothy shell " + env.Name
}

// restarted is how a leased sandbox was restarted.
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

// blameHost replaces the cause if the host blocks an environment.
func (e *Environments) blameHost(ctx context.Context, env fleet.Environment, why *Why) error {
	stuck, address, err := e.stuckOnHost(ctx, env)
	switch {
	case err != nil:
		return err
	case stuck != "":
		why.Cause, why.Next = "it runs on "+stuck, "nothing is lost; it continues once the host is back. Your platform team sees it with: bothy host ls"
	case address != "" && env.State == fleet.Leased:
		why.Next = fmt.Sprintf("use it at the daemon that serves its host%s: bothy --host %s shell %s", e.cfg.Hosts.AboutAddress(address), address, env.Name)
	}
	return nil
}

// stuckOnHost returns how an environment's host blocks it; "" if it does not. Then address is that of the other daemon that
// serves the host, if any.
func (e *Environments) stuckOnHost(ctx context.Context, env fleet.Environment) (stuck, address string, err error) {
	if env.Host == "" || !env.State.Live() {
		return "", "", nil
	}
	hosts, err := e.cfg.Store.Hosts(ctx)
	if err != nil {
		return "", "", err
	}
	i := slices.IndexFunc(hosts, func(h fleet.Host) bool { return h.Name == env.Host })
	now := e.cfg.Clock.Now()
	switch {
	case i < 0:
		return "host " + env.Host + ", which is unknown", "", nil
	case hosts[i].Lost(now):
		return fmt.Sprintf("host %s, which no daemon has served since %s", env.Host, hosts[i].SeenAt.Format(time.RFC3339)), "", nil
	case !hosts[i].Served(now):
		return fmt.Sprintf("host %s, which no running daemon serves now", env.Host), "", nil
	case hosts[i].Down != "":
		return fmt.Sprintf("host %s, which cannot be used now: %s", env.Host, hosts[i].Down), "", nil
	case e.cfg.Hosts.Find(env.Host) == nil:
		return "", hosts[i].Address, nil
	}
	return "", "", nil
}

// starvedSince adds to the cause of a leased environment that it ran out of memory, and a step against that.
func (e *Environments) starvedSince(ctx context.Context, env fleet.Environment, why *Why) error {
	at, err := e.cfg.Memory.LastAt(ctx, env)
	if err != nil || at.IsZero() {
		return err
	}
	why.Cause += fmt.Sprintf("; it ran out of memory at %s: the kernel killed processes in it (size %s has %d MiB)",
		at.UTC().Format(time.RFC3339), env.Size.Name, env.Size.MemoryMiB)
	if larger, ok := larger(e.cfg.Blueprints, env); ok {
		why.Next = "for more memory: bothy up --size " + larger.Name
	}
	return nil
}
