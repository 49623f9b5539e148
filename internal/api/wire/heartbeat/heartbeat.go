// Package heartbeat says how a long answer is known to be alive, on both sides: a quiet one is not ended by proxies in between,
// and one whose other end has gone without a word ends.
package heartbeat

import (
	"errors"
	"time"
)

// Timing is how often a side pings, and how long it waits while it hears nothing at all.
type Timing struct{ Every, Patience time.Duration }

// Default is what both sides use where nothing else is set. Load balancers end what is idle for a minute, or half of one.
var Default = Timing{Every: 15 * time.Second, Patience: 45 * time.Second}

// Or is t, with the defaults for what it does not say.
func (t Timing) Or() Timing {
	if t.Every == 0 {
		t.Every = Default.Every
	}
	if t.Patience == 0 {
		t.Patience = Default.Patience
	}
	return t
}

// ErrSilent says that nothing came for as long as the patience.
var ErrSilent = errors.New("nothing was heard from the other side")
