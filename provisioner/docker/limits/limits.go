// Package limits bounds what sandboxes take: their weight, processes and sockets' memory. It makes room for bothy's own commands in a sandbox
// that has used up its processes.
package limits

import (
	"context"
	"sync"

	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/sandbox"
)

// Command runs a program on this host.
type Command func(ctx context.Context, name string, args ...string) error

// Limiter changes the limits of running sandboxes. It is safe for use by many goroutines.
type Limiter struct {
	engine    *engine.Client
	sandboxes *sandbox.Sandboxes
	command   Command
	parent    parent
	raised    raised
	lifted    sync.Map  // the ids of sandboxes whose weight is raised now
	lowered   sync.Once // of lowerLeft
}

// New returns a Limiter.
func New(e *engine.Client, sandboxes *sandbox.Sandboxes, command Command) *Limiter {
	return &Limiter{engine: e, sandboxes: sandboxes, command: command}
}
