package engine

import (
	"context"
	"errors"
	"sync"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// eventSource is recorded when files are copied into the workspace for the first time that this process knows of.
const eventSource = "source.copied"

// mostSourced bounds what is remembered of whose workspaces have been filled.
const mostSourced = 10_000

// sourced are the environments of which it was recorded that source was copied.
type sourced struct {
	mu sync.Mutex
	of map[string]bool
}

// first reports whether an environment is seen for the first time.
func (s *sourced) first(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil || len(s.of) >= mostSourced {
		s.of = map[string]bool{}
	}
	was := s.of[id]
	s.of[id] = true
	return !was
}

// noteSource records that files were copied to the workspace.
func (e *Engine) noteSource(ctx context.Context, who fleet.Identity, env fleet.Environment) {
	if !e.sourced.first(env.ID) {
		return
	}
	err := e.store.AppendEvents(context.WithoutCancel(ctx), e.journal.Event(&env, who.User, eventSource, "%s copied files to %s", who.User, env.Workspace))
	if err != nil {
		e.logger.Warn("recording a copy of source failed", "environment", env.Name, "error", err)
	}
}

// Source tells what was copied to an environment's workspace; the zero value when that cannot be told or nobody has it yet.
func (e *Engine) Source(ctx context.Context, env fleet.Environment) (fleet.Source, error) {
	if !env.Lease.Held() {
		return fleet.Source{}, nil
	}
	// The source comes soon after the hand-over, so the beginning of the record tells.
	events, err := e.store.EventsBy(ctx, store.EventFilter{EnvironmentID: env.ID, Limit: bus.EventPage})
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
