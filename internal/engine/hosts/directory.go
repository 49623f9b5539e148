package hosts

import (
	"context"
	"slices"
	"strings"

	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// Directory finds hosts: those that this daemon declares, and the daemons that serve others.
type Directory struct {
	store     *store.Store
	clock     *clock.Clock
	advertise string
	byName    map[string]*target.Host
}

// Find gives a declared host, nil when this daemon declares none of that name.
func (d *Directory) Find(name string) *target.Host { return d.byName[name] }

// Host returns the host of an environment. Code unavailable: only another daemon can reach it.
func (d *Directory) Host(name string) (*target.Host, error) {
	if h := d.byName[name]; h != nil {
		return h, nil
	}
	return nil, target.Unreachable(name)
}

// For returns the host of an environment for somebody who wants to use it. Code unavailable: only another
// daemon can reach it, which is named.
func (d *Directory) For(ctx context.Context, env fleet.Environment) (*target.Host, error) {
	if h := d.byName[env.Host]; h != nil {
		return h, nil
	}
	row, err := d.row(ctx, env.Host)
	if err != nil {
		return nil, err
	}
	switch err := target.Unreachable(env.Host); {
	case !row.Served(d.clock.Now()):
		return nil, err.WithHint("no running daemon serves it now, nothing is lost; the platform team sees it with: bothy host ls")
	case row.Address == "":
		return nil, err
	default:
		return nil, err.WithHint("ask the daemon that serves it%s: bothy --host %s exec %s -- COMMAND; cp, shell and logs alike",
			d.AboutAddress(row.Address), row.Address, env.Name)
	}
}

// AboutAddress says what is to be known of another daemon's address.
func (d *Directory) AboutAddress(address string) string {
	switch {
	case address == d.advertise:
		return " (it gives people the same address as this one: set advertise, to a different one for each)"
	case strings.HasPrefix(address, "unix:"):
		return ", on its machine"
	}
	return ""
}

// row reads a host; one that is not known has a name only.
func (d *Directory) row(ctx context.Context, name string) (fleet.Host, error) {
	rows, err := d.store.Hosts(ctx)
	if err != nil {
		return fleet.Host{}, err
	}
	if i := slices.IndexFunc(rows, func(h fleet.Host) bool { return h.Name == name }); i >= 0 {
		return rows[i], nil
	}
	return fleet.Host{Name: name}, nil
}

// Elsewhere gives where people reach the daemon that serves a host which this one cannot reach: commands, copies and the
// sandbox's own output go there. It is empty when this daemon can reach the host, and when no address is known.
func (d *Directory) Elsewhere(ctx context.Context, host string) string {
	if host == "" || d.byName[host] != nil {
		return ""
	}
	row, err := d.row(ctx, host)
	if err != nil {
		return "" // the error that the user gets needs no address
	}
	return row.Address
}
