package usage

import (
	"context"

	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

// Traffic reads the engine's counters of the sandbox's networks. Old engines answer at most once a second, but
// then for all sandboxes at once: ask for many at the same time.
func (m *Meter) Traffic(ctx context.Context, id string) (int64, error) {
	const op = "measure traffic"
	if err := engine.CheckID(op, id); err != nil {
		return 0, err
	}
	stats, err := m.sandboxes.Stats(ctx, id, op)
	if err != nil {
		return 0, err
	}
	if stats.Read.IsZero() {
		return 0, m.sandboxes.Uncounted(ctx, id, op)
	}
	var bytes int64
	for _, n := range stats.Networks {
		bytes += int64(n.RxBytes + n.TxBytes)
	}
	return bytes, nil
}
