package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

// How long an answer about a host's readiness is believed: a good one for longer, as whoever finds it wrong says so.
const (
	readyTTL = 10 * time.Second
	downTTL  = 2 * time.Second
)

// readiness remembers whether environments can be made on a host.
type readiness struct {
	e    *Engine
	host *Host

	// down says that the last answer was a bad one; whoever reads it does not wait for the next.
	down atomic.Bool
	// ups counts how often the host, or a blueprint on it, became ready again.
	ups atomic.Int64

	mu    sync.Mutex
	asked time.Time
	why   string
}

// reason is why nothing can be made there now, "" when it can.
func (r *readiness) reason(ctx context.Context) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.e.Now()
	believed := readyTTL
	if r.why != "" {
		believed = downTTL
	}
	if !r.asked.IsZero() && now.Sub(r.asked).Abs() < believed {
		return r.why
	}
	before := r.why
	r.why = ""
	if err := r.host.Runtime.Ready(ctx); err != nil {
		r.why = provisioner.Sentence(err)
	} else if err := r.host.Driver.Ready(ctx); err != nil {
		r.why = provisioner.Sentence(err)
	}
	r.asked = now
	r.down.Store(r.why != "")
	switch {
	case before == "" && r.why != "":
		r.e.logger.Warn("environments cannot be made now; requests wait", "host", r.host.Name, "cause", r.why)
	case before != "" && r.why == "":
		r.e.logger.Info("environments can be made again", "host", r.host.Name)
		r.back()
	}
	return r.why
}

// back notes that environments may be made again: what waited for it is tried at once.
func (r *readiness) back() {
	r.ups.Add(1)
	nudge(r.e.prepareNudge)
	nudge(r.e.backNudge)
	nudge(r.e.holdNudge) // which writes it down
}

// forget makes the next reason ask afresh.
func (r *readiness) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = time.Time{}
}
