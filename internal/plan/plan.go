// Package plan decides what happens next to every environment. It is one pure
// function over sorted values: no clock, no ids, no input or output, no map iteration.
// What it returns is recorded by the engine's controller and done by its runner.
package plan

import (
	"cmp"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Snapshot is all that a decision needs.
type Snapshot struct {
	// Environments are all live ones, in any order.
	Environments []fleet.Environment
	// Capacity is how many environments may be in the making at once.
	Capacity int
	// Unavailable says why nothing can be made now (the engine is away); empty when it can.
	Unavailable string
}

// Kind is what an action does.
type Kind string

// The kinds of action.
const (
	// Start moves a pending environment to provisioning.
	Start Kind = "start"
	// Destroy moves an environment to destroying.
	Destroy Kind = "destroy"
	// GiveUp fails an environment that was not ready by its deadline; its destruction is planned next.
	GiveUp Kind = "give-up"
)

// Action is one step of a plan. It holds for one revision of the row: if the
// row has moved since, it is dropped and planned again.
type Action struct {
	EnvironmentID string
	Revision      int64
	Kind          Kind
	// Reason is one sentence for people.
	Reason string
}

// Wait tells why a request is not being worked on yet.
type Wait struct {
	EnvironmentID string
	Revision      int64
	// Rank in the queue, from 1.
	Rank   int
	Reason string
}

// Plan is what Compute returns.
type Plan struct {
	// Actions in the order they are to be recorded.
	Actions []Action
	// Waiting lists the requests that stay pending, by rank.
	Waiting []Wait
	// Next is when time alone will make another plan differ; zero when it will not.
	Next time.Time
}

// Compute decides, in this order: reap what has expired, destroy what has
// failed, give up what is overdue, admit people first come first served as far as capacity goes.
//
// It cannot over-create: it counts rows in flight, and a row is written before anything is created.
func Compute(s Snapshot, now time.Time) Plan {
	// Sorted by reference: a row is large, and the caller's order stays its own.
	envs := make([]*fleet.Environment, len(s.Environments))
	for i := range s.Environments {
		envs[i] = &s.Environments[i]
	}
	slices.SortFunc(envs, byAge)

	var p Plan
	p.Actions = append(p.Actions, reap(envs, now)...)
	p.Actions = append(p.Actions, destroyFailed(envs)...)
	p.Actions = append(p.Actions, giveUp(envs, now)...)
	starts, waiting := admit(envs, s.Capacity, s.Unavailable)
	p.Actions = append(p.Actions, starts...)
	p.Waiting = waiting
	p.Next = next(envs, now)
	return p
}

func byAge(a, b *fleet.Environment) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
}

func act(kind Kind, env *fleet.Environment, reason string) Action {
	return Action{EnvironmentID: env.ID, Revision: env.Revision, Kind: kind, Reason: reason}
}

func reap(envs []*fleet.Environment, now time.Time) []Action {
	var out []Action
	for _, env := range envs {
		if env.State == fleet.Leased && env.Lease.Expired(now) {
			out = append(out, act(Destroy, env, "its lease ended"))
		}
	}
	return out
}

func destroyFailed(envs []*fleet.Environment) []Action {
	var out []Action
	for _, env := range envs {
		if env.State == fleet.Failed {
			out = append(out, act(Destroy, env, "it failed; what it left is removed"))
		}
	}
	return out
}

// giveUp fails creates past their deadline that nobody works on. One that is
// being worked on ends by its own timeout, and then comes here.
func giveUp(envs []*fleet.Environment, now time.Time) []Action {
	var out []Action
	for _, env := range envs {
		if overdue(env, now) && !worked(env, now) {
			out = append(out, act(GiveUp, env, "it was not ready by its deadline"))
		}
	}
	return out
}

func overdue(env *fleet.Environment, now time.Time) bool {
	return env.State == fleet.Provisioning && !env.Work.Deadline.IsZero() && !now.Before(env.Work.Deadline)
}

func worked(env *fleet.Environment, now time.Time) bool {
	return env.Work.Worker != "" && now.Before(env.Work.Until)
}

func admit(envs []*fleet.Environment, capacity int, unavailable string) (starts []Action, waiting []Wait) {
	for _, env := range envs {
		if env.State == fleet.Provisioning {
			capacity--
		}
	}
	for _, env := range envs {
		if env.State != fleet.Pending {
			continue
		}
		reason := unavailable
		if reason == "" && capacity <= 0 {
			reason = "as many environments as allowed are being made"
		}
		if reason != "" {
			waiting = append(waiting, Wait{EnvironmentID: env.ID, Revision: env.Revision, Rank: len(waiting) + 1, Reason: reason})
			continue
		}
		capacity--
		starts = append(starts, act(Start, env, ""))
	}
	return starts, waiting
}

// next is the earliest time from which reap or giveUp would act on what is here.
func next(envs []*fleet.Environment, now time.Time) time.Time {
	var at time.Time
	consider := func(t time.Time) {
		if t.After(now) && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for _, env := range envs {
		switch env.State {
		case fleet.Leased:
			consider(env.Lease.End)
		case fleet.Provisioning:
			if env.Work.Deadline.IsZero() {
				continue
			}
			at := env.Work.Deadline
			if env.Work.Worker != "" && env.Work.Until.After(at) {
				at = env.Work.Until
			}
			consider(at)
		}
	}
	return at
}
