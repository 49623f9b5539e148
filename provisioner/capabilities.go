package provisioner

import (
	"fmt"
	"time"
)

// Capabilities are what a Runtime can do beside what every one must. It declares them, so that whoever uses it asks nobody to find
// out, and does without what is not there; see Can. A capability with means of its own (Killer, Ports) tells apart from this whether
// this process has them.
type Capabilities struct {
	// SandboxKind is the kind of the resource of an environment that commands run in: "container", "pod", ... An environment has one
	// of the kind with the name Owner.ResourceName.
	SandboxKind string
	// ListLag is how long after a change Inventory.List may still show what was before it; 0 for none.
	ListLag time.Duration
	// TTY: Exec gives terminals; without it, asking for one is refused with Permanent.
	TTY bool
	// Networks: it is a NetworkKeeper. Without one a blueprint's sandboxes are isolated by the provider, or not at all.
	Networks bool
	// Stage: it is a Stager. Without it files are delivered by CopyTo, and nothing tells whether a sandbox was used before.
	Stage bool
	// Pause: it is a Pauser. Without it nothing is frozen.
	Pause bool
	// Traffic, Counters: it is a Meter, a Gauge. Without them commands alone show that a sandbox is in use.
	Traffic, Counters bool
	// Usage: it is a Surveyor.
	Usage bool
	// Pressure: it is Pressured.
	Pressure bool
	// Marks: it is a Marker. Without it nothing at the provider shows that a database is behind except the resources themselves.
	Marks bool
	// Kill: it is a Killer.
	Kill bool
	// Restart: it is a Restarter. Without it a sandbox that has ended is lost.
	Restart bool
	// Watch: it is a Watcher. Without it sandboxes are listed now and then.
	Watch bool
	// Ports: it has Ports.
	Ports bool
	// Pids: it is a Limiter.
	Pids bool
	// Files: it is a Keeper.
	Files bool
}

// Can returns a Runtime as one of its capabilities: an interface of this package such as Pauser. It is false unless the Runtime declares
// it. What a Runtime does not declare is never called, whatever methods it has.
func Can[T any](r Runtime) (T, bool) {
	can, is := r.(T)
	if !is || !r.Capabilities().declare((*T)(nil)) {
		return *new(T), false
	}
	return can, true
}

// declare reports whether a capability is declared, by a nil pointer to its interface.
func (c Capabilities) declare(what any) bool {
	switch what.(type) {
	case *NetworkKeeper:
		return c.Networks
	case *Stager:
		return c.Stage
	case *Pauser:
		return c.Pause
	case *Meter:
		return c.Traffic
	case *Gauge:
		return c.Counters
	case *Surveyor:
		return c.Usage
	case *Pressured:
		return c.Pressure
	case *Marker:
		return c.Marks
	case *Killer:
		return c.Kill
	case *Restarter:
		return c.Restart
	case *Watcher:
		return c.Watch
	case *Ports:
		return c.Ports
	case *Limiter:
		return c.Pids
	case *Keeper:
		return c.Files
	}
	panic(fmt.Sprintf("provisioner: %T is no capability of a Runtime", what))
}
