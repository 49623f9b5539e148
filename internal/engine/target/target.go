// Package target is what environments run on, as every room sees it: a declared host and the contracts behind it. Which daemon
// serves a host, and whether it can be used, is the room hosts'.
package target

import (
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// Host is an engine host that this daemon can reach.
type Host struct {
	Name string
	// Endpoint is the engine's address, for people.
	Endpoint string
	Labels   map[string]string
	Capacity fleet.Capacity

	Driver  provisioner.Driver
	Runtime provisioner.Runtime
	// Networks is nil when the runtime keeps none.
	Networks provisioner.NetworkKeeper
	// Broker is nil when blueprints reach nothing real: then the driver alone says what is made.
	Broker provisioner.Broker
}

// Unreachable is the error of whoever needs a host that this daemon does not declare.
func Unreachable(name string) *fleet.Error {
	return fleet.Errorf(fleet.CodeUnavailable, "the host %q is not one that this daemon can reach", name).
		WithHint("ask the daemon that serves it, or declare it here too: bothy host ls")
}
