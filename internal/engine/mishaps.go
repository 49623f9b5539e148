package engine

import (
	"fmt"
	"slices"
	"sync"
	"time"
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

// checkSandboxes tells of sandboxes that ended, were restarted or went while they were in use or kept ready.
func (e *Engine) checkSandboxes() Check {
	recent := e.mishaps.since(e.Now().Add(-mishapsFor))
	if len(recent) == 0 {
		return Check{Name: "sandboxes", Status: OK, Message: "no sandbox ended by itself of late"}
	}
	last := recent[len(recent)-1]
	return Check{
		Name: "sandboxes", Status: Warning,
		Message: fmt.Sprintf("sandboxes that ended or were restarted in the last %s: %d; the latest is that of %s on host %s, %s ago: %s",
			mishapsFor, len(recent), last.name, last.host, e.Now().Sub(last.at).Round(time.Second), last.what),
		Hint: "see: bothy why " + last.name + "; the record of that host's provider shows who stops sandboxes",
	}
}
