// Package facts finds out what an engine is and can do, and what its machine runs short of.
package facts

import (
	"context"
	"sync"
	"time"

	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

// Limits are the limits of sandboxes.
type Limits interface {
	// Parent returns the control group of sandboxes.
	Parent(ctx context.Context) (string, error)
	// Unweighed returns why that group has no weight; nil when it has one.
	Unweighed() error
}

// Networks are the networks of sandboxes.
type Networks interface {
	// Lacking returns why sources of packets are not looked up or connections not counted; nil when they are.
	Lacking() error
	// CanFlush returns why the kernel cannot be made to forget connections; nil when it can.
	CanFlush() error
	// Flows counts the connections of containers in the kernel's table, by container. slotsOf gives the container on a slot.
	Flows(slotsOf map[string]string) map[string]int
}

// Reporter reports on an engine. It is safe for use by many goroutines.
type Reporter struct {
	engine  *engine.Client
	limits  Limits
	net     Networks
	noReach func() error // why ports of sandboxes cannot be reached; nil when they can

	able   sync.Mutex
	ableAt time.Time // when the engine was found able to do all
	can    Facts

	// Enough is the part of a machine's limit, in percent, under whose use nobody is looked for.
	Enough int64
}

// New returns a Reporter. noReach returns why ports of sandboxes cannot be reached; nil when they can.
func New(e *engine.Client, limits Limits, networks Networks, noReach func() error) *Reporter {
	return &Reporter{engine: e, limits: limits, net: networks, noReach: noReach, Enough: 80}
}
