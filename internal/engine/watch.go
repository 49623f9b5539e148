package engine

import (
	"context"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// Watch calls update at once and then whenever the environment or its record
// changed, with the events since. It returns nil when the environment is destroyed,
// ctx's error when ctx ends, and update's error.
func (e *Engine) Watch(ctx context.Context, who fleet.Identity, nameOrID string, after int64, update func(fleet.Environment, []fleet.Event) error) error {
	env, err := e.find(ctx, who, nameOrID)
	if err != nil {
		return err
	}
	s := e.followers.Subscribe(env.ID, false)
	defer s.Stop()
	seen := int64(-1)
	for {
		// The row first: what happens between the two reads is in the next look.
		env, err := s.Row.Get(ctx)
		if err != nil {
			return err
		}
		events, upTo, more, err := e.followers.Events(ctx, store.EventFilter{EnvironmentID: env.ID, After: after})
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
		if err := e.followers.Wait(ctx, s); err != nil {
			return err
		}
	}
}

// Logs writes an environment's log: what bothy and Terraform did, and the
// sandbox's own output. With follow it goes on until the environment is gone.
//
// Errors: not_found, policy (it is not theirs and not shared with them), unavailable (the engine is away, so the sandbox's
// part is missing), write's error.
func (e *Engine) Logs(ctx context.Context, who fleet.Identity, nameOrID string, since time.Time, follow bool, write func(fleet.LogLine) error) error {
	env, err := e.permit(ctx, who, nameOrID, toUse, "read the log of")
	if err != nil {
		return err
	}
	var stored int64
	attached := false
	s := e.followers.Subscribe(env.ID, true)
	defer s.Stop()
	fromStore := func(l fleet.LogLine) error {
		if attached && l.Source == "sandbox" {
			return nil // kept when it ended, and written from the sandbox itself already
		}
		return write(l)
	}
	for {
		if stored, err = e.storedLog(ctx, env.ID, stored, since, fromStore); err != nil {
			return err
		}
		if env.State == fleet.Leased && !attached {
			attached = true
			if err := e.sandboxLog(ctx, env, since, follow, write); err != nil {
				return err
			}
		}
		if !follow || env.State == fleet.Destroyed {
			return nil
		}
		if err := e.followers.Wait(ctx, s); err != nil {
			return err
		}
		if env, err = s.Row.Get(ctx); err != nil {
			return err
		}
	}
}

func (e *Engine) sandboxLog(ctx context.Context, env fleet.Environment, since time.Time, follow bool, write func(fleet.LogLine) error) error {
	h, err := e.hosts.For(ctx, env)
	if err != nil {
		return err
	}
	err = h.Runtime.Logs(ctx, env.SandboxID, provisioner.LogsRequest{Since: since, Follow: follow}, func(l provisioner.LogLine) error {
		return write(fleet.LogLine{At: l.At, Source: "sandbox", Text: l.Text})
	})
	if provisioner.Is(err, provisioner.NotFound) {
		return nil // it has just gone; what it wrote is in the store by now, or soon
	}
	return e.runtimeError(env, err)
}

// storedLog writes the stored lines after a sequence number and returns the last one's.
func (e *Engine) storedLog(ctx context.Context, id string, after int64, since time.Time, write func(fleet.LogLine) error) (int64, error) {
	for {
		lines, err := e.store.Log(ctx, id, after, since, bus.EventPage)
		if err != nil {
			return after, err
		}
		for _, l := range lines {
			if err := write(l); err != nil {
				return after, err
			}
			after = l.Seq
		}
		if len(lines) < bus.EventPage {
			return after, nil
		}
	}
}
