package sandbox

import (
	"context"
	"encoding/json"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

// Uncounted tells why the engine gives no counters: of what has ended, and of what runs where it cannot read its
// control groups, it gives the same empty answer.
func (s *Sandboxes) Uncounted(ctx context.Context, id, op string) error {
	status, err := s.Inspect(ctx, id)
	switch {
	case err != nil:
		return err
	case status.Running || status.Paused:
		return provisioner.Errorf(provisioner.Transient, op,
			"the engine cannot read the sandbox's control groups: see what docker stats %s says, and the engine's log", id)
	}
	return provisioner.Errorf(provisioner.Conflict, op, "the sandbox is not running")
}

// Stats reads the engine's counters of a sandbox once.
func (s *Sandboxes) Stats(ctx context.Context, id, op string) (stats container.StatsResponse, err error) {
	cctx, cancel := s.engine.Call(ctx)
	defer cancel()
	answer, err := s.engine.API.ContainerStatsOneShot(cctx, id)
	if err != nil {
		return stats, s.engine.Fail(ctx, op, err)
	}
	defer engine.CloseQuietly(answer.Body)
	err = json.NewDecoder(answer.Body).Decode(&stats)
	return stats, s.engine.Fail(ctx, op, err)
}
