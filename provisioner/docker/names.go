package docker

import (
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/etcdir"
	"github.com/bothy-env/bothy/provisioner/docker/facts"
	"github.com/bothy-env/bothy/provisioner/docker/limits"
	"github.com/bothy-env/bothy/provisioner/docker/network"
	"github.com/bothy-env/bothy/provisioner/docker/sandbox"
)

// What callers of a Runtime meet of its rooms.
type (
	// Facts are what an engine is and can do.
	Facts = facts.Facts
	// Shortage is something that bounds sandboxes badly on the engine's machine, or that it runs short of.
	Shortage = facts.Shortage
	// NetworkConfig says how sandboxes' networks are made.
	NetworkConfig = network.Config
)

// Isolation modes, see NetworkConfig.
const (
	IsolationEnforce = network.IsolationEnforce
	IsolationOff     = network.IsolationOff
)

// LabelSlot marks a network of the NetworkKeeper with its slot's number in the pool.
const LabelSlot = sandbox.LabelSlot

// ErrIsolationOff is what Isolation returns when the configuration says so: a warning, not a fault.
var ErrIsolationOff = network.ErrIsolationOff

// Etcs returns the files that a Runtime left in its Config.Etcs, also of a host whose engine is no longer reached.
func Etcs(dir string) provisioner.Keeper { return etcdir.LeftIn(dir) }

// Ulimits are the limits that every sandbox's processes have.
func Ulimits() []provisioner.Ulimit { return limits.Ulimits() }
