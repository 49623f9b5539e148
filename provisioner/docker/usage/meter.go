// Package usage measures what sandboxes use: processors, memory, processes, disk and traffic, and how busy the machine is.
package usage

import (
	"context"

	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/sandbox"
)

// Meter measures sandboxes. It is safe for use by many goroutines.
type Meter struct {
	engine    *engine.Client
	sandboxes *sandbox.Sandboxes
	bg        context.Context // of sizes that are read behind their callers
	sizes     sizes
}

// New returns a Meter. Sizes are read until ctx ends.
func New(ctx context.Context, e *engine.Client, sandboxes *sandbox.Sandboxes) *Meter {
	return &Meter{engine: e, sandboxes: sandboxes, bg: ctx}
}

// Forget drops what is known of a sandbox that is gone.
func (m *Meter) Forget(id string) { m.sizes.forget(id) }
