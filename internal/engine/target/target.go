// Package target is what environments run on, as every room sees it: a declared host and the contracts behind it. Which daemon
// serves a host, and whether it can be used, is the room hosts'.
package target

import (
	"cmp"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// Host is an engine host that this daemon can reach.
type Host struct {
	provisioner.Target

	Driver  provisioner.Driver
	Runtime provisioner.Runtime
	// Networks is nil when the runtime keeps none.
	Networks provisioner.NetworkKeeper
	// Broker is nil when blueprints reach nothing real: then the driver alone says what is made.
	Broker provisioner.Broker
}

// SandboxKind is the kind of its sandboxes.
func (h *Host) SandboxKind() string { return h.Runtime.Capabilities().SandboxKind }

// ProviderName is what a finding about its provider is called.
func (h *Host) ProviderName() string { return cmp.Or(h.Kind, "provider") }

// ByRemovalOrder is the order in which its provider lets resources go.
func (h *Host) ByRemovalOrder(a, b provisioner.Found) int {
	return h.Runtime.RemovalOrder(a.Ref, b.Ref)
}

// Unreachable is the error of whoever needs a host that this daemon does not declare.
func Unreachable(name string) *fleet.Error {
	return fleet.Errorf(fleet.CodeUnavailable, "the host %q is not one that this daemon can reach", name).
		WithHint("ask the daemon that serves it, or declare it here too: bothy host ls")
}
