// Package sandbox reports on one sandbox, and pauses, resumes and restarts it: its state, the engine's counters, and the settings it was
// created with.
package sandbox

import (
	"sync"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

var (
	_ provisioner.Pauser    = (*Sandboxes)(nil)
	_ provisioner.Restarter = (*Sandboxes)(nil)
)

// Sandboxes are the sandboxes of an engine. It is safe for use by many goroutines.
type Sandboxes struct {
	engine   *engine.Client
	settings known
	moves    sync.Map // sandbox id -> *bool: frozen, or thawed, just now; see freeze
}

// New returns the sandboxes of an engine.
func New(e *engine.Client) *Sandboxes { return &Sandboxes{engine: e} }
