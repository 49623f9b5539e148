package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
)

// Host is an engine host that this daemon can reach.
type Host = target.Host

// hostNews passes on what becomes of hosts to the rooms that are not rooms of their own yet.
type hostNews struct{ e *Engine }

func (n hostNews) Lost(hosts []string) { n.e.warmpool.Drop(hosts) }

func (n hostNews) Usable(ctx context.Context, h *Host) { n.e.engineMarks.LookFirst(ctx, h) }

// Elsewhere gives where people reach the daemon that serves a host which this one cannot reach: commands, copies and the
// sandbox's own output go there. It is empty when this daemon can reach the host, and when no address is known.
func (e *Engine) Elsewhere(ctx context.Context, host string) string {
	return e.hosts.Elsewhere(ctx, host)
}

// Hosts gives every host that was ever declared, with what stands on it. What was on a lost host is
// named, not dropped.
func (e *Engine) Hosts(ctx context.Context, who fleet.Identity) ([]HostStatus, error) {
	rows, err := e.store.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	envs, err := e.store.Live(ctx)
	if err != nil {
		return nil, err
	}
	now := e.Now()
	all := make([]HostStatus, len(rows))
	for i, row := range rows {
		all[i] = HostStatus{Host: row, Served: row.Served(now), Lost: row.Lost(now)}
		for _, env := range envs {
			if env.Host != row.Name {
				continue
			}
			all[i].Used.Environments++
			all[i].Used.MilliCPUs += env.Size.MilliCPUs()
			all[i].Used.MemoryMiB += env.Size.MemoryMiB
			if all[i].Lost {
				all[i].Environments = append(all[i].Environments, nameFor(who, env))
			}
		}
		slices.Sort(all[i].Environments)
	}
	return all, nil
}

// nameFor is an environment's name as whoever reads it can use it: with its tenant when that is not their own.
func nameFor(who fleet.Identity, env fleet.Environment) string {
	if env.Tenant == "" || env.Tenant == who.Home() {
		return env.Name
	}
	return env.Tenant + "/" + env.Name
}

// DrainHost keeps new environments off a host, or lets them on again; what stands there stays.
//
// Errors: not_found.
func (e *Engine) DrainHost(ctx context.Context, who fleet.Identity, name string, drained bool) (HostStatus, error) {
	kind, what := "host.drained", "nothing new is placed on it any more"
	if !drained {
		kind, what = "host.undrained", "environments are placed on it again"
	}
	ev := fleet.Event{At: e.Now(), Host: name, Actor: who.User, Kind: kind, Message: what}
	if _, err := e.store.DrainHost(ctx, name, drained, ev); err != nil {
		return HostStatus{}, err
	}
	e.bus.Nudge(bus.Plan)
	all, err := e.Hosts(ctx, who)
	if err != nil {
		return HostStatus{}, err
	}
	i := slices.IndexFunc(all, func(h HostStatus) bool { return h.Name == name })
	if i < 0 {
		return HostStatus{}, fmt.Errorf("find host %s: it is gone", name)
	}
	return all[i], nil
}
