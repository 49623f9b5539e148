package service

import (
	"context"
	"errors"
	"sync"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// eventSource records the first copy into the workspace that this process knows of.
const eventSource = "source.copied"

// mostSourced limits how many environments this process remembers.
const mostSourced = 10_000

// sourced are the environments with a recorded copy of source.
type sourced struct {
	mu sync.Mutex
	of map[string]bool
}

// first reports whether an environment is new, and remembers it.
func (f *sourced) first(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil || len(f.of) >= mostSourced {
		f.of = map[string]bool{}
	}
	was := f.of[id]
	f.of[id] = true
	return !was
}

// noteSource records a copy to the workspace.
func (s *Sandboxes) noteSource(ctx context.Context, who fleet.Identity, env fleet.Environment) {
	if !s.sourced.first(env.ID) {
		return
	}
	err := s.cfg.Store.AppendEvents(context.WithoutCancel(ctx), s.cfg.Journal.Event(&env, who.User, eventSource, "%s copied files to %s", who.User, env.Workspace))
	if err != nil {
		s.cfg.Logger.Warn("cannot record a copy of source", "environment", env.Name, "error", err)
	}
}

// Source returns what was copied to the workspace of an environment; the zero value if unknown or not leased yet.
func (s *Sandboxes) Source(ctx context.Context, env fleet.Environment) (fleet.Source, error) {
	if !env.Lease.Held() {
		return fleet.Source{}, nil
	}
	// The copy follows soon after the hand-over, so the first events suffice.
	events, err := s.cfg.Store.EventsBy(ctx, store.EventFilter{EnvironmentID: env.ID, Limit: bus.EventPage})
	if err != nil {
		return fleet.Source{}, errors.Join(errors.New("read what was copied"), err)
	}
	for _, ev := range events {
		if ev.Kind == eventSource {
			return fleet.Source{State: fleet.SourceCopied, By: ev.Actor, At: ev.At}, nil
		}
	}
	if len(events) == bus.EventPage {
		return fleet.Source{}, nil
	}
	return fleet.Source{State: fleet.SourceNone}, nil
}
