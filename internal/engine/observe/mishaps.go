package observe

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/doctor"
	"github.com/bothy-env/bothy/internal/fleet"
)

// mishap is what befell a sandbox that was in use or kept ready.
type mishap struct {
	at               time.Time
	name, host, what string
}

// mishaps are those of late, oldest first; a new process knows of none.
type mishaps struct {
	mu     sync.Mutex
	recent []mishap
}

const (
	// mishapsFor is how long one is worth a warning, mostMishaps how many are kept.
	mishapsFor  = 15 * time.Minute
	mostMishaps = 1000
)

func (m *mishaps) note(one mishap) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.recent = append(m.recent, one)
	m.recent = slices.Delete(m.recent, 0, max(len(m.recent)-mostMishaps, 0))
}

// since gives those that are not old yet.
func (m *mishaps) since(at time.Time) []mishap {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.recent = slices.DeleteFunc(m.recent, func(one mishap) bool { return one.at.Before(at) })
	return slices.Clone(m.recent)
}

// Check tells of sandboxes that ended, were restarted or went while they were in use or kept ready.
func (l *Liveness) Check(context.Context) doctor.Check {
	recent := l.mishaps.since(l.cfg.Clock.Now().Add(-mishapsFor))
	if len(recent) == 0 {
		return doctor.Check{Name: "sandboxes", Status: doctor.OK, Message: "no sandbox ended by itself of late"}
	}
	last := recent[len(recent)-1]
	return doctor.Check{
		Name: "sandboxes", Status: doctor.Warning,
		Message: fmt.Sprintf("sandboxes that ended or were restarted in the last %s: %d; the latest is that of %s on host %s, %s ago: %s",
			mishapsFor, len(recent), last.name, last.host, l.cfg.Clock.Now().Sub(last.at).Round(time.Second), last.what),
		Hint: "see: bothy why " + last.name + "; the record of that host's provider shows who stops sandboxes",
	}
}

// Befell notes what happened to the sandbox of an environment, for doctor.
func (l *Liveness) Befell(env fleet.Environment, what string) {
	l.mishaps.note(mishap{at: l.cfg.Clock.Now(), name: env.Name, host: env.Host, what: what})
}
