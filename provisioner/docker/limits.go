package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/broker"
)

var _ provisioner.Limiter = (*Runtime)(nil)

// Ulimits are the limits that every sandbox's processes have. Those that the kernel counts per user of the machine
// leave the machine's own users their part; sandboxes share what is left, since all have the same users.
func Ulimits() []provisioner.Ulimit {
	return []provisioner.Ulimit{
		{Name: "nofile", Soft: 4096, Hard: 16384},         // also how many files a user may have on their way through sockets
		{Name: "core", Soft: 0, Hard: 0},                  // a core dump would go to whatever handler the host has
		{Name: "sigpending", Soft: 16384, Hard: 16384},    // per user: queued signals and timers
		{Name: "msgqueue", Soft: 409600, Hard: 409600},    // per user, bytes: half of the kernel's own default
		{Name: "memlock", Soft: 64 << 10, Hard: 64 << 10}, // bytes; enough for what keeps keys in memory
		{Name: "locks", Soft: 65536, Hard: 65536},         // file locks
	}
}

const opPids = "limit processes"

// LimitPids bounds how many processes a sandbox may hold at once, which the Docker provider has no attribute for. It
// is set on the running sandbox, before anybody may use it, together with the bound of BoundSockets. Where no broker makes the
// container, which has the bound from its create on.
func (r *Runtime) LimitPids(ctx context.Context, id string, pids int64) error {
	if err := checkID(opPids, id); err != nil {
		return err
	}
	c, err := r.inspected(ctx, opPids, id)
	if err != nil {
		return err
	}
	if now := c.HostConfig.PidsLimit; now == nil || *now != pids {
		cctx, cancel := r.call(ctx)
		defer cancel()
		_, err := r.api.ContainerUpdate(cctx, id, container.UpdateConfig{Resources: updated(c.HostConfig.Resources, pids)})
		if err := r.fail(ctx, opPids, err); err != nil {
			return err
		}
		if err := r.stillLimited(c); err != nil {
			return err
		}
	}
	return r.BoundSockets(ctx, id)
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
func (r *Runtime) stillLimited(c container.InspectResponse) error {
	if !r.net.local || os.Geteuid() != 0 || c.State.Pid == 0 {
		return nil
	}
	got, err := kernelLimits(c.State.Pid)
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

// keptMemory gives an error when the kernel does not hold a sandbox to its memory, without swap.
func keptMemory(got broker.Limits, memory int64) error {
	if memory > 0 && (got.Memory != memory || got.Swap != 0) {
		return fmt.Errorf("the kernel holds the sandbox to %d bytes of memory and %d of swap (-1: no limit), not to %d and none", got.Memory, got.Swap, memory)
	}
	return nil
}

// socketPart is the part of a sandbox's memory that its TCP connections may hold beside it, at least socketLeast bytes.
const (
	socketPart  = 8
	socketLeast = 32 << 20
)

// SocketMemory is how many bytes the connections of a sandbox with so much memory may hold.
func SocketMemory(memory int64) int64 { return max(memory/socketPart, socketLeast) }

// BoundSockets bounds the memory that a running sandbox's TCP connections hold. With cgroup v2 it counts as the
// sandbox's own and nothing is done. With v1 it counts nowhere until it is bounded by itself, and the engine's own
// option for that (KernelMemoryTCP) has no effect with runc since 1.0. Where bothyd is not root on the engine's
// machine it cannot be bounded; see Shortages.
func (r *Runtime) BoundSockets(ctx context.Context, id string) error {
	const op = "bound the memory of sockets"
	if !r.net.local || os.Geteuid() != 0 {
		return nil
	}
	cctx, cancel := r.call(ctx)
	defer cancel()
	c, err := r.api.ContainerInspect(cctx, id)
	if err != nil {
		return r.fail(ctx, op, err)
	}
	if c.State == nil || c.State.Pid == 0 || c.HostConfig == nil || c.HostConfig.Memory <= 0 {
		return nil // it ended, or is not bounded at all: others tell
	}
	err = boundSockets(c.State.Pid, c.ID, SocketMemory(c.HostConfig.Memory))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no cgroup v1 here, or the sandbox ended meanwhile
	}
	if err != nil {
		return &provisioner.Error{Class: provisioner.Transient, Op: op, Sentence: err.Error(), Err: err}
	}
	return nil
}

func boundSockets(pid int, id string, limit int64) error {
	group, err := groupOf(pid, "memory")
	if err != nil {
		return err
	}
	if filepath.Base(group) != id && filepath.Base(group) != "docker-"+id+".scope" {
		return fmt.Errorf("process %d is in the control group %s, not in that of its container", pid, group)
	}
	f, err := os.OpenFile(filepath.Join(group, "memory.kmem.tcp.limit_in_bytes"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strconv.FormatInt(limit, 10))
	return errors.Join(err, f.Close())
}
