package service

import (
	"context"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// Logs writes an environment's log: the steps of bothy and Terraform, and the output of the
// sandbox. With follow it continues until the environment is destroyed.
//
// Errors: not_found, policy (not owned by, and not shared with, the caller), unavailable (the engine is away, so the output of the
// sandbox is missing), write's error.
func (s *Sandboxes) Logs(ctx context.Context, who fleet.Identity, nameOrID string, since time.Time, follow bool, write func(fleet.LogLine) error) error {
	env, err := s.cfg.Access.permit(ctx, who, nameOrID, toUse, "read the log of")
	if err != nil {
		return err
	}
	var stored int64
	attached := false
	sub := s.cfg.Followers.Subscribe(env.ID, true)
	defer sub.Stop()
	fromStore := func(l fleet.LogLine) error {
		if attached && l.Source == "sandbox" {
			return nil // stored when the sandbox ended; its log had it before
		}
		return write(l)
	}
	for {
		if stored, err = s.storedLog(ctx, env.ID, stored, since, fromStore); err != nil {
			return err
		}
		if env.State == fleet.Leased && !attached {
			attached = true
			if err := s.sandboxLog(ctx, env, since, follow, write); err != nil {
				return err
			}
		}
		if !follow || env.State == fleet.Destroyed {
			return nil
		}
		if err := s.cfg.Followers.Wait(ctx, sub); err != nil {
			return err
		}
		if env, err = sub.Row.Get(ctx); err != nil {
			return err
		}
	}
}

func (s *Sandboxes) sandboxLog(ctx context.Context, env fleet.Environment, since time.Time, follow bool, write func(fleet.LogLine) error) error {
	h, err := s.cfg.Hosts.For(ctx, env)
	if err != nil {
		return err
	}
	err = h.Runtime.Logs(ctx, env.SandboxID, provisioner.LogsRequest{Since: since, Follow: follow}, func(l provisioner.LogLine) error {
		return write(fleet.LogLine{At: l.At, Source: "sandbox", Text: l.Text})
	})
	if provisioner.Is(err, provisioner.NotFound) {
		return nil // just deleted; the store has its output, or soon will
	}
	return s.runtimeError(env, err)
}

// storedLog writes the stored lines after a sequence number, and returns the number of the last one.
func (s *Sandboxes) storedLog(ctx context.Context, id string, after int64, since time.Time, write func(fleet.LogLine) error) (int64, error) {
	for {
		lines, err := s.cfg.Store.Log(ctx, id, after, since, bus.EventPage)
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
