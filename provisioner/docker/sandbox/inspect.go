package sandbox

import (
	"context"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

// Inspect reports on a sandbox.
func (s *Sandboxes) Inspect(ctx context.Context, id string) (provisioner.Status, error) {
	for {
		status, err := s.Look(ctx, id)
		if err != nil || !status.Running && !status.Paused || !s.Lags(ctx, id, status.Paused) {
			return status, err
		}
	}
}

// Look reports on a sandbox as the engine tells it, which may lag behind the kernel.
func (s *Sandboxes) Look(ctx context.Context, id string) (provisioner.Status, error) {
	const op = "inspect sandbox"
	if err := engine.CheckID(op, id); err != nil {
		return provisioner.Status{}, err
	}
	cctx, cancel := s.engine.Call(ctx)
	defer cancel()
	c, err := s.engine.API.ContainerInspect(cctx, id)
	if err != nil {
		return provisioner.Status{}, s.engine.Fail(ctx, op, err)
	}
	if c.ContainerJSONBase == nil || c.State == nil {
		return provisioner.Status{}, provisioner.Errorf(provisioner.Transient, op, "the engine's answer has no state")
	}
	return StatusOf(c.State), nil
}

// StatusOf reads the engine's state. A paused or restarting container is
// "running" to Docker, yet no command can be run in it.
func StatusOf(s *container.State) provisioner.Status {
	st := provisioner.Status{Running: s.Running && !s.Paused && !s.Restarting && !s.Dead, Paused: s.Paused, StartedAt: moment(s.StartedAt)}
	if s.Running {
		return st
	}
	st.ExitCode, st.Error, st.OutOfMemory, st.EndedAt = s.ExitCode, s.Error, s.OOMKilled, moment(s.FinishedAt)
	switch {
	case st.Error != "":
	case s.OOMKilled:
		st.Error = "it ran out of memory and was killed"
	case s.Dead:
		st.Error = "it is being removed"
	}
	return st
}

// moment reads the engine's time; its year 1 is none.
func moment(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}
