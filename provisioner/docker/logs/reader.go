// Package logs reads a sandbox's log.
package logs

import "github.com/bothy-env/bothy/provisioner/docker/engine"

// Reader reads sandboxes' logs.
type Reader struct{ engine *engine.Client }

// New returns a Reader.
func New(e *engine.Client) *Reader { return &Reader{engine: e} }
