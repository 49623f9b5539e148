package plan_test

import (
	"fmt"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
)

// now is a Wednesday.
var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

type change func(*fleet.Environment)

// env is an environment on host h, of one CPU and 1,024 MiB, an hour old; a lease has half an hour left.
func env(id string, state fleet.State, changes ...change) fleet.Environment {
	e := fleet.Environment{
		ID: id, Name: id, State: state, Revision: 3, CreatedAt: now.Add(-time.Hour),
		Tenant: "acme", Team: "web", Size: fleet.Size{Name: "small", CPUs: 1, MemoryMiB: 1024},
		Blueprint: fleet.BlueprintRef{Name: "build", Digest: "d1"},
	}
	if state != fleet.Pending {
		e.Host = "h"
	}
	switch state {
	case fleet.Pending:
		e.CreatedAt, e.Lease.TTL = now, time.Hour
	case fleet.Leased:
		e.Lease = fleet.Lease{TTL: time.Hour, Start: now.Add(-30 * time.Minute), End: now.Add(30 * time.Minute), Warned: true}
	}
	for _, c := range changes {
		c(&e)
	}
	return e
}

func leaseEnds(in time.Duration) change {
	return func(e *fleet.Environment) { e.Lease.End = now.Add(in) }
}

func createdAt(ago time.Duration) change {
	return func(e *fleet.Environment) { e.CreatedAt = now.Add(-ago) }
}

func deadline(in time.Duration) change {
	return func(e *fleet.Environment) { e.Work.Deadline = now.Add(in) }
}

func workedUntil(in time.Duration) change {
	return func(e *fleet.Environment) { e.Work.Worker, e.Work.Until = "w", now.Add(in) }
}

func on(host string) change { return func(e *fleet.Environment) { e.Host = host } }

func of(team string) change { return func(e *fleet.Environment) { e.Team = team } }

func sized(cpus float64) change { return func(e *fleet.Environment) { e.Size.CPUs = cpus } }

func ttl(d time.Duration) change { return func(e *fleet.Environment) { e.Lease.TTL = d } }

// member makes it a pool's, of a digest.
func member(pool, key string) change {
	return func(e *fleet.Environment) {
		e.Pool, e.MatchKey, e.Tenant, e.Team = pool, key, "", ""
	}
}

func failed(sentence string) change {
	return func(e *fleet.Environment) { e.Failure = &fleet.Failure{Sentence: sentence, At: e.CreatedAt} }
}

// host is served for so long that it makes no other plan by itself.
func host(name string, environments, cpus int64) fleet.Host {
	return fleet.Host{
		Name: name, Capacity: fleet.Capacity{Environments: environments, MilliCPUs: cpus * 1000},
		Worker: "w", Until: now.Add(1000 * time.Hour), SeenAt: now.Add(1000 * time.Hour),
	}
}

// pool keeps n members of digest key, and may have two more while it is renewed.
func pool(name, key string, n int) plan.Pool {
	return plan.Pool{
		Pool:   fleet.Pool{Name: name, Target: n, Max: 2 * n, Surge: 2, Revision: 7},
		Digest: key, MatchKey: key, Size: fleet.Size{Name: "small", CPUs: 1, MemoryMiB: 1024},
	}
}

func envs(all ...fleet.Environment) []fleet.Environment { return all }

// snap is one host with room for ten, and ten creates at once.
func snap(all ...fleet.Environment) plan.Snapshot {
	return plan.Snapshot{Environments: all, Hosts: []fleet.Host{host("h", 10, 0)}, Concurrency: 10}
}

// brief writes a plan's actions and waits as words that tests compare.
func brief(p plan.Plan) []string {
	out := []string{}
	for _, a := range p.Actions {
		switch a.Kind {
		case plan.Start:
			out = append(out, fmt.Sprintf("start %s on %s", a.EnvironmentID, a.Host))
		case plan.Refill:
			out = append(out, fmt.Sprintf("refill %s %d", a.Pool, a.Count))
		case plan.Hold:
			out = append(out, fmt.Sprintf("hold %s: %s", a.Pool, a.Reason))
		default:
			out = append(out, fmt.Sprintf("%s %s (%s)", a.Kind, a.EnvironmentID, a.Cause))
		}
	}
	for _, w := range p.Waiting {
		out = append(out, fmt.Sprintf("%d. %s: %s", w.Rank, w.EnvironmentID, plan.Text(w.Causes)))
	}
	return out
}
