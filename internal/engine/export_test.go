package engine

import "context"

// LookAtHosts asks a running engine to look at once whether its hosts can be used.
func (e *Engine) LookAtHosts() { nudge(e.holdNudge) }

// SweepOnce sweeps now.
func (e *Engine) SweepOnce(ctx context.Context) error { return e.sweepOnce(ctx) }
