package engine

import (
	"context"
	"sync"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

// readyTTL is how long an answer about the engine's and Terraform's readiness is believed.
const readyTTL = 2 * time.Second

// readiness remembers whether environments can be made. It asks only when
// somebody wants to know, so an idle daemon does nothing.
type readiness struct {
	e *Engine

	mu    sync.Mutex
	asked time.Time
	why   string
}

// reason is why nothing can be made now, "" when it can.
func (r *readiness) reason(ctx context.Context) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.e.Now()
	if !r.asked.IsZero() && now.Sub(r.asked).Abs() < readyTTL {
		return r.why
	}
	before := r.why
	r.why = ""
	if err := r.e.runtime.Ready(ctx); err != nil {
		r.why = provisioner.Sentence(err)
	} else if err := r.e.driver.Ready(ctx); err != nil {
		r.why = provisioner.Sentence(err)
	}
	r.asked = now
	switch {
	case before == "" && r.why != "":
		r.e.logger.Warn("environments cannot be made now; requests wait", "cause", r.why)
	case before != "" && r.why == "":
		r.e.logger.Info("environments can be made again")
	}
	return r.why
}

// forget makes the next reason ask afresh.
func (r *readiness) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = time.Time{}
}
