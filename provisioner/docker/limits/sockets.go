package limits

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/cgroup"
)

var _ provisioner.Limiter = (*Limiter)(nil)

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
func (l *Limiter) BoundSockets(ctx context.Context, id string) error {
	const op = "bound the memory of sockets"
	if !l.engine.Local || os.Geteuid() != 0 {
		return nil
	}
	cctx, cancel := l.engine.Call(ctx)
	defer cancel()
	c, err := l.engine.API.ContainerInspect(cctx, id)
	if err != nil {
		return l.engine.Fail(ctx, op, err)
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
	group, err := cgroup.Of(pid, "memory")
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
