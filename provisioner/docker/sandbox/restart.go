package sandbox

import (
	"context"
	"strings"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

// Restart starts a sandbox anew, its network's holder first: a namespace ends with the container that made it.
func (s *Sandboxes) Restart(ctx context.Context, id string) error {
	const op = "restart sandbox"
	c, err := s.engine.Container(ctx, op, id)
	if err != nil {
		return err
	}
	if !s.engine.Owns(c.Config.Labels) {
		return engine.Foreign(op, engine.KindContainer, id)
	}
	cctx, cancel := s.engine.Call(ctx)
	defer cancel()
	if holder, ok := holderOf(c); ok {
		if err := s.engine.API.ContainerStart(cctx, holder, container.StartOptions{}); err != nil { // one that runs is no error
			return s.engine.Fail(ctx, op, err)
		}
	}
	if c.State.Running {
		at := 0 // what runs inside has no network, or is to end anyway
		return s.engine.Fail(ctx, op, s.engine.API.ContainerRestart(cctx, id, container.StopOptions{Timeout: &at}))
	}
	return s.engine.Fail(ctx, op, s.engine.API.ContainerStart(cctx, id, container.StartOptions{}))
}

// OffNetwork compares a sandbox with its network's holder: one that ended, or was started after the sandbox, has another
// namespace than the sandbox, whose own has no network any more.
func (s *Sandboxes) OffNetwork(ctx context.Context, id string) (bool, error) {
	const op = "look at network"
	c, err := s.engine.Container(ctx, op, id)
	if err != nil {
		return false, err
	}
	name, ok := holderOf(c)
	if !ok || !c.State.Running {
		return false, nil
	}
	holder, err := s.engine.Container(ctx, op, name)
	if provisioner.Is(err, provisioner.NotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return !holder.State.Running || moment(holder.State.StartedAt).After(moment(c.State.StartedAt)), nil
}

// holderOf returns the container whose network namespace a container is in.
func holderOf(c container.InspectResponse) (id string, ok bool) {
	return strings.CutPrefix(string(c.HostConfig.NetworkMode), JoinPrefix)
}
