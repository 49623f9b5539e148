package limits

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/bothy-env/bothy/provisioner/docker/cgroup"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

// Where every processor is taken, the shell that waits in a warm sandbox for its hand-over waits again for its turn among all that
// runs in sandboxes. So the sandbox weighs more than the others until the hand-over is made. It has no holder yet, so nobody has the use of
// that for anything else, and an environment is handed over once.

// liftShares and liftWeight are what a weight is raised by, with cgroup v1 and v2. They are above all that a blueprint may choose (1024,
// and what engines make of it for v2: at most 100), so that a raised weight says what it was before.
const liftShares, liftWeight = 20480, 1000

// Lift raises a sandbox's weight until lower is called. It does nothing where this process may not.
func (l *Limiter) Lift(ctx context.Context, id string) (lower func()) {
	known, err := l.sandboxes.Settings(ctx, id)
	group := known.Groups["cpu"]
	if err != nil || group == "" {
		return func() {}
	}
	l.lifted.Store(id, true)
	if err := changeWeight(group, true); err != nil {
		l.engine.Log.Debug("raise the weight of a sandbox", "sandbox", id, "error", err)
	}
	return func() {
		defer l.lifted.Delete(id)
		if err := changeWeight(group, false); err != nil {
			l.engine.Log.Warn("a sandbox keeps a raised weight", "sandbox", id, "error", err)
		}
	}
}

// changeWeight raises a container's weight, or puts it back; both are idempotent. A group that is gone has none.
func changeWeight(group string, raise bool) error {
	file, by := "cpu.shares", int64(liftShares)
	now, ok := cgroup.ReadCount(filepath.Join(group, file))
	if !ok {
		file, by = "cpu.weight", liftWeight
		if now, ok = cgroup.ReadCount(filepath.Join(group, file)); !ok {
			return nil
		}
	}
	wanted := now
	if now > by {
		wanted -= by
	}
	if raise {
		wanted += by
	}
	if wanted == now {
		return nil
	}
	err := cgroup.Write(group, file, strconv.FormatInt(wanted, 10))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// lowerLeft puts weights back that a process of this installation had raised when it was killed.
func (l *Limiter) lowerLeft(groups map[string]string) {
	at := groups["cpu"]
	if at == "" {
		at = groups[""]
	}
	for _, parent := range parentNames(l.engine.Instance) {
		all, err := filepath.Glob(filepath.Join(at, parent, "*"))
		if err != nil {
			continue // only for a pattern that is none
		}
		for _, group := range all {
			id := cgroup.Container(group)
			if _, now := l.lifted.Load(id); now || !engine.IsID(id) {
				continue
			}
			if err := changeWeight(group, false); err != nil {
				l.engine.Log.Warn("a sandbox keeps a raised weight", "sandbox", id, "error", err)
			}
		}
	}
}
