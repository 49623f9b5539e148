package docker

import (
	"context"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
)

var _ provisioner.Limiter = (*Runtime)(nil)

// LimitPids bounds how many processes a sandbox may hold at once. The Docker
// provider has no such attribute, so it is set on the running sandbox, before anybody may use it.
func (r *Runtime) LimitPids(ctx context.Context, id string, pids int64) error {
	cctx, cancel := r.call(ctx)
	defer cancel()
	_, err := r.api.ContainerUpdate(cctx, id, container.UpdateConfig{Resources: container.Resources{PidsLimit: &pids}})
	return r.fail(ctx, "limit processes", err)
}
