package usage

import (
	"context"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/cgroup"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

var _ provisioner.Gauge = (*Meter)(nil)

// CPUTime reads the processor time of a sandbox's control group where that is on this host, which costs microseconds; else
// the engine is asked.
func (m *Meter) CPUTime(ctx context.Context, id string) (time.Duration, error) {
	const op = "read processor time"
	group, err := m.groupFor(ctx, op, id, "cpuacct")
	if err != nil {
		return 0, err
	}
	if cpu, ok := cgroup.CPUTime(group); ok {
		return cpu, nil
	}
	return m.countedCPU(ctx, id, op)
}

// OOMKills reads the kernel's count from the sandbox's control group. The engine does not tell it.
func (m *Meter) OOMKills(ctx context.Context, id string) (int64, error) {
	group, err := m.groupFor(ctx, "read memory events", id, "memory")
	if err != nil {
		return -1, err
	}
	return cgroup.OOMKills(group), nil
}

// ForksRefused reads the kernel's count from the sandbox's control group. The engine does not tell it.
func (m *Meter) ForksRefused(ctx context.Context, id string) (int64, error) {
	group, err := m.groupFor(ctx, "read process events", id, "pids")
	if err != nil {
		return -1, err
	}
	return cgroup.ForksRefused(group), nil
}

// groupFor returns where a sandbox's control group of a controller is; "" when it is not on this host.
func (m *Meter) groupFor(ctx context.Context, op, id, controller string) (string, error) {
	if err := engine.CheckID(op, id); err != nil {
		return "", err
	}
	known, err := m.sandboxes.Settings(ctx, id)
	if err != nil {
		return "", engine.During(op, err)
	}
	return known.Groups[controller], nil
}

// countedCPU asks the engine.
func (m *Meter) countedCPU(ctx context.Context, id, op string) (time.Duration, error) {
	stats, err := m.sandboxes.Stats(ctx, id, op)
	if err != nil {
		return 0, err
	}
	if stats.Read.IsZero() {
		return 0, m.sandboxes.Uncounted(ctx, id, op)
	}
	return time.Duration(min(stats.CPUStats.CPUUsage.TotalUsage, 1<<62)), nil //nolint:gosec // bounded
}
