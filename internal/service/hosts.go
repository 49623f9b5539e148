package service

import (
	"context"
	"fmt"
	"slices"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/fleet"
)

// Neighbours finds the daemons that serve hosts.
type Neighbours interface {
	// Elsewhere returns the address of the daemon that serves a host which this one cannot reach; "" for any other host.
	Elsewhere(ctx context.Context, host string) string
}

// HostsConfig is what Hosts needs.
type HostsConfig struct {
	Base
	Neighbours
}

// Hosts are the use cases of hosts.
type Hosts struct {
	Neighbours
	cfg HostsConfig
}

// NewHosts makes it.
func NewHosts(c HostsConfig) *Hosts { return &Hosts{Neighbours: c.Neighbours, cfg: c} }

// HostStatus is a host and its environments.
type HostStatus struct {
	fleet.Host
	// Used is the capacity in use by live environments.
	Used fleet.Capacity
	// Served: a daemon serves it now. Lost: no daemon has for long; only then Environments has their names.
	Served, Lost bool
	Environments []string
}

// List returns every host that was ever declared, with its environments. A lost host still
// has them, by name.
func (hs *Hosts) List(ctx context.Context, who fleet.Identity) ([]HostStatus, error) {
	rows, err := hs.cfg.Store.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	envs, err := hs.cfg.Store.Live(ctx)
	if err != nil {
		return nil, err
	}
	now := hs.cfg.Clock.Now()
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

// nameFor is a name of an environment that the caller can use: with its tenant unless that is their own.
func nameFor(who fleet.Identity, env fleet.Environment) string {
	if env.Tenant == "" || env.Tenant == who.Home() {
		return env.Name
	}
	return env.Tenant + "/" + env.Name
}

// Drain keeps new environments off a host, or allows them again. Those on it stay.
//
// Errors: not_found.
func (hs *Hosts) Drain(ctx context.Context, who fleet.Identity, name string, drained bool) (HostStatus, error) {
	kind, what := "host.drained", "nothing new is placed on it any more"
	if !drained {
		kind, what = "host.undrained", "environments are placed on it again"
	}
	ev := fleet.Event{At: hs.cfg.Clock.Now(), Host: name, Actor: who.User, Kind: kind, Message: what}
	if _, err := hs.cfg.Store.DrainHost(ctx, name, drained, ev); err != nil {
		return HostStatus{}, err
	}
	hs.cfg.Bus.Nudge(bus.Plan)
	all, err := hs.List(ctx, who)
	if err != nil {
		return HostStatus{}, err
	}
	i := slices.IndexFunc(all, func(h HostStatus) bool { return h.Name == name })
	if i < 0 {
		return HostStatus{}, fmt.Errorf("find host %s: it is gone", name)
	}
	return all[i], nil
}
