package service

import (
	"context"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// Watch calls update at once, and after each change of the environment, with the events since. It returns nil once the environment
// is destroyed, ctx's error when ctx ends, and update's error.
func (e *Environments) Watch(ctx context.Context, who fleet.Identity, nameOrID string, after int64, update func(fleet.Environment, []fleet.Event) error) error {
	env, err := e.Find(ctx, who, nameOrID)
	if err != nil {
		return err
	}
	s := e.cfg.Followers.Subscribe(env.ID, false)
	defer s.Stop()
	seen := int64(-1)
	for {
		// The row first: the next round has what happens between the two reads.
		env, err := s.Row.Get(ctx)
		if err != nil {
			return err
		}
		events, upTo, more, err := e.cfg.Followers.Events(ctx, store.EventFilter{EnvironmentID: env.ID, After: after})
		if err != nil {
			return err
		}
		if env.Revision != seen || len(events) > 0 {
			if err := update(env, events); err != nil {
				return err
			}
			seen = env.Revision
		}
		after = upTo
		if more {
			continue
		}
		if env.State == fleet.Destroyed {
			return nil
		}
		if err := e.cfg.Followers.Wait(ctx, s); err != nil {
			return err
		}
	}
}
