package docker

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

var _ provisioner.Gauge = (*Runtime)(nil)

// CPUTime reads the processor time of a sandbox's control group where that is on this host, which costs microseconds; else
// the engine is asked.
func (r *Runtime) CPUTime(ctx context.Context, id string) (time.Duration, error) {
	const op = "read processor time"
	group, err := r.groupFor(ctx, op, id, "cpuacct")
	if err != nil {
		return 0, err
	}
	if cpu, ok := cpuTime(group); ok {
		return cpu, nil
	}
	return r.countedCPU(ctx, id, op)
}

// OOMKills reads the kernel's count from the sandbox's control group. The engine does not tell it.
func (r *Runtime) OOMKills(ctx context.Context, id string) (int64, error) {
	group, err := r.groupFor(ctx, "read memory events", id, "memory")
	if err != nil {
		return -1, err
	}
	return oomKills(group), nil
}

// ForksRefused reads the kernel's count from the sandbox's control group. The engine does not tell it.
func (r *Runtime) ForksRefused(ctx context.Context, id string) (int64, error) {
	group, err := r.groupFor(ctx, "read process events", id, "pids")
	if err != nil {
		return -1, err
	}
	return forksRefused(group), nil
}

// forksRefused reads how often a control group was full; -1 when it cannot be read.
func forksRefused(group string) int64 {
	if n, ok := field(filepath.Join(group, "pids.events"), "max"); ok && group != "" {
		return n
	}
	return -1
}

// groupFor gives where a sandbox's control group of a controller is; "" when it is not on this host.
func (r *Runtime) groupFor(ctx context.Context, op, id, controller string) (string, error) {
	if err := checkID(op, id); err != nil {
		return "", err
	}
	known, err := r.settingsOf(ctx, id)
	if err != nil {
		return "", during(op, err)
	}
	return known.groups[controller], nil
}

// oomKills reads how many processes of a control group were ended for want of memory; -1 when it cannot be read.
func oomKills(group string) int64 {
	if group == "" {
		return -1
	}
	for _, file := range []string{"memory.events", "memory.oom_control"} { // of cgroup v2, and of v1
		if n, ok := field(filepath.Join(group, file), "oom_kill"); ok {
			return n
		}
	}
	return -1
}

// cpuTime reads the processor time of a control group; false when it cannot be read.
func cpuTime(group string) (time.Duration, bool) {
	if group == "" {
		return 0, false
	}
	if n, ok := readCount(filepath.Join(group, "cpuacct.usage")); ok {
		return time.Duration(n), true
	}
	n, ok := field(filepath.Join(group, "cpu.stat"), "usage_usec")
	return time.Duration(n) * time.Microsecond, ok
}

// field gives the number behind a word at a line's beginning.
func field(file, word string) (int64, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == word {
			n, err := strconv.ParseInt(f[1], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// countedCPU asks the engine.
func (r *Runtime) countedCPU(ctx context.Context, id, op string) (time.Duration, error) {
	stats, err := r.stats(ctx, id, op)
	if err != nil {
		return 0, err
	}
	if stats.Read.IsZero() {
		return 0, r.uncounted(ctx, id, op)
	}
	return time.Duration(min(stats.CPUStats.CPUUsage.TotalUsage, 1<<62)), nil //nolint:gosec // bounded
}
