package docker

import (
	"context"
	"encoding/json"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
)

var (
	_ provisioner.Pauser = (*Runtime)(nil)
	_ provisioner.Meter  = (*Runtime)(nil)
)

// Pause freezes a sandbox.
func (r *Runtime) Pause(ctx context.Context, id string) error {
	return r.freeze(ctx, "pause sandbox", id, true, r.api.ContainerPause)
}

// Unpause thaws a sandbox.
func (r *Runtime) Unpause(ctx context.Context, id string) error {
	return r.freeze(ctx, "unpause sandbox", id, false, r.api.ContainerUnpause)
}

const (
	// lagFor is how long after a call the engine may still tell of the state before it: events of the
	// call before reach it late, and it believes them.
	lagFor = 2 * time.Second
	// lookAgain is the time between two looks meanwhile.
	lookAgain = 20 * time.Millisecond
)

// freeze makes a call and, when the engine refuses it, looks whether the sandbox is as it should be: engines differ in how
// they say that nothing was to be done.
func (r *Runtime) freeze(ctx context.Context, op, id string, paused bool, call func(context.Context, string) error) error {
	if err := checkID(op, id); err != nil {
		return err
	}
	cctx, cancel := r.call(ctx)
	defer cancel()
	for {
		err := call(cctx, id)
		if err == nil {
			r.moved(id, paused)
			return nil
		}
		err = r.fail(ctx, op, err)
		if provisioner.Is(err, provisioner.NotFound) || provisioner.Is(err, provisioner.Cancelled) || provisioner.IsUnavailable(err) {
			return err
		}
		status, look := r.inspect(ctx, id)
		switch {
		case look != nil:
			return during(op, look)
		case status.Paused == paused && (status.Paused || status.Running):
			return nil
		case !status.Running && !status.Paused:
			return provisioner.Errorf(provisioner.Conflict, op, "the sandbox is not running")
		case !r.lags(ctx, id, !paused):
			return err
		}
	}
}

// moved notes that a sandbox was frozen or thawed just now.
func (r *Runtime) moved(id string, paused bool) {
	now := &paused
	r.moves.Store(id, now)
	time.AfterFunc(lagFor, func() { r.moves.CompareAndDelete(id, now) })
}

// lags waits a little and reports true when a sandbox that looks frozen, or not, was made the opposite just now.
func (r *Runtime) lags(ctx context.Context, id string, paused bool) bool {
	now, ok := r.moves.Load(id)
	if !ok || *now.(*bool) == paused {
		return false
	}
	select {
	case <-time.After(lookAgain):
		return true
	case <-ctx.Done():
		return false
	}
}

// uncounted tells why the engine gives no counters: of what has ended, and of what runs where it cannot read its
// control groups, it gives the same empty answer.
func (r *Runtime) uncounted(ctx context.Context, id, op string) error {
	status, err := r.Inspect(ctx, id)
	switch {
	case err != nil:
		return err
	case status.Running || status.Paused:
		return provisioner.Errorf(provisioner.Transient, op,
			"the engine cannot read the sandbox's control groups: see what docker stats %s says, and the engine's log", id)
	}
	return provisioner.Errorf(provisioner.Conflict, op, "the sandbox is not running")
}

// stats reads the engine's counters of a sandbox once.
func (r *Runtime) stats(ctx context.Context, id, op string) (stats container.StatsResponse, err error) {
	cctx, cancel := r.call(ctx)
	defer cancel()
	answer, err := r.api.ContainerStatsOneShot(cctx, id)
	if err != nil {
		return stats, r.fail(ctx, op, err)
	}
	defer closeQuietly(answer.Body)
	err = json.NewDecoder(answer.Body).Decode(&stats)
	return stats, r.fail(ctx, op, err)
}

// Traffic reads the engine's counters of the sandbox's networks. Old engines answer at most once a second, but
// then for all sandboxes at once: ask for many at the same time.
func (r *Runtime) Traffic(ctx context.Context, id string) (int64, error) {
	const op = "measure traffic"
	if err := checkID(op, id); err != nil {
		return 0, err
	}
	stats, err := r.stats(ctx, id, op)
	if err != nil {
		return 0, err
	}
	if stats.Read.IsZero() {
		return 0, r.uncounted(ctx, id, op)
	}
	var bytes int64
	for _, n := range stats.Networks {
		bytes += int64(n.RxBytes + n.TxBytes)
	}
	return bytes, nil
}
