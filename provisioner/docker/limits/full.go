package limits

import (
	"context"
	"strconv"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

// startRoom is how many processes the start of a command may take for a moment: the engine's tool has threads, and each counts.
const startRoom = 16

// Full returns an error when a sandbox has as many processes as it may, as its control group or else the engine counts them.
func (l *Limiter) Full(ctx context.Context, id string) error {
	held, most, ok := l.pidsOf(ctx, id)
	if !ok {
		held, most, ok = l.countedPids(ctx, id)
	}
	return full(held, most, ok)
}

// full returns an error when so many processes leave no room for a start.
func full(held, most int64, ok bool) error {
	if !ok || held+startRoom <= most {
		return nil
	}
	return &provisioner.Error{Class: provisioner.Quota, Op: engine.OpExec, Err: provisioner.ErrProcesses,
		Sentence: "the sandbox has as many processes as it may, " + count(held) + " of " + count(most)}
}

// countedPids asks the engine how many processes a sandbox has and may have; false when it does not tell.
func (l *Limiter) countedPids(ctx context.Context, id string) (held, most int64, ok bool) {
	stats, err := l.sandboxes.Stats(ctx, id, engine.OpExec)
	if err != nil {
		return 0, 0, false
	}
	limit := stats.PidsStats.Limit
	if limit == 0 || limit > 1<<31 {
		return 0, 0, false
	}
	return int64(stats.PidsStats.Current), int64(limit), true //nolint:gosec // bounded, and a count of processes is far below
}

// count writes a number.
func count(n int64) string { return strconv.FormatInt(n, 10) }
