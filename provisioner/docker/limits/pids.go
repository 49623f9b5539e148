package limits

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/cgroup"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

const opPids = "limit processes"

// LimitPids bounds how many processes a sandbox may hold at once, which the Docker provider has no attribute for. It
// is set on the running sandbox, before anybody may use it, together with the bound of BoundSockets. Where no broker makes the
// container, which has the bound from its create on.
func (l *Limiter) LimitPids(ctx context.Context, id string, pids int64) error {
	if err := engine.CheckID(opPids, id); err != nil {
		return err
	}
	c, err := l.engine.Container(ctx, opPids, id)
	if err != nil {
		return err
	}
	if now := c.HostConfig.PidsLimit; now == nil || *now != pids {
		cctx, cancel := l.engine.Call(ctx)
		defer cancel()
		_, err := l.engine.API.ContainerUpdate(cctx, id, container.UpdateConfig{Resources: updated(c.HostConfig.Resources, pids)})
		if err := l.engine.Fail(ctx, opPids, err); err != nil {
			return err
		}
		if err := l.stillLimited(c); err != nil {
			return err
		}
	}
	return l.BoundSockets(ctx, id)
}

// updated is what an update of the bound of processes is sent with: all other limits as they were made. runc leaves "no swap" out of
// an update that does not name it, and with cgroup v2 systemd then sets swap to no limit when it changes the bound.
func updated(made container.Resources, pids int64) container.Resources {
	return container.Resources{
		PidsLimit: &pids, Memory: made.Memory, MemorySwap: made.MemorySwap, MemoryReservation: made.MemoryReservation,
		NanoCPUs: made.NanoCPUs, CPUShares: made.CPUShares, CPUPeriod: made.CPUPeriod, CPUQuota: made.CPUQuota,
	}
}

// stillLimited compares what the kernel holds a sandbox to after an update with what was asked, where this process can see that.
func (l *Limiter) stillLimited(c container.InspectResponse) error {
	if !l.engine.Local || os.Geteuid() != 0 || c.State.Pid == 0 {
		return nil
	}
	got, err := cgroup.LimitsOf(c.State.Pid)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it ended: others tell
	}
	if err == nil {
		err = keptMemory(got, c.HostConfig.Memory)
	}
	if err != nil {
		return &provisioner.Error{Class: provisioner.Permanent, Op: opPids, Sentence: err.Error(), Err: err}
	}
	return nil
}

// keptMemory returns an error when the kernel does not hold a sandbox to its memory, without swap.
func keptMemory(got cgroup.Limits, memory int64) error {
	if memory > 0 && (got.Memory != memory || got.Swap != 0) {
		return fmt.Errorf("the kernel holds the sandbox to %d bytes of memory and %d of swap (-1: no limit), not to %d and none", got.Memory, got.Swap, memory)
	}
	return nil
}
