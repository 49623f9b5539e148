package engine

// LookAtHosts asks a running engine to look at once whether its hosts can be used.
func (e *Engine) LookAtHosts() { nudge(e.holdNudge) }
