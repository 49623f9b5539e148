package main

import (
	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/provisioner"
)

// capable is what both runtimes can do.
type capable interface {
	provisioner.Runtime
	provisioner.NetworkKeeper
	provisioner.Stager
	provisioner.Marker
	provisioner.Pauser
	provisioner.Meter
	provisioner.Killer
	provisioner.Ports
}

// equip gives a host the parts that act on it.
func equip(host *daemon.Host, driver provisioner.Driver, runtime capable) {
	watched := watchRuntime(runtime)
	host.Driver, host.Runtime = watchDriver(driver), watched
	if keeper, ok := provisioner.Can[provisioner.NetworkKeeper](watched); ok {
		host.Networks = keeper
	}
}
