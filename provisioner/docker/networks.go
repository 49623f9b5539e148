package docker

import (
	"context"
	"errors"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

// Reserve hands out a network that no other environment is on.
func (r *Runtime) Reserve(ctx context.Context, owner provisioner.Owner) (provisioner.Attachment, error) {
	return r.net.Reserve(ctx, owner)
}

// Release removes a network after its environment is gone.
func (r *Runtime) Release(ctx context.Context, at provisioner.Attachment) error {
	return r.net.Release(ctx, at)
}

// Isolation reports whether the rules that keep sandboxes from the host and its private networks are in
// place, and puts them there when they are not. ErrIsolationOff when they are not wanted.
func (r *Runtime) Isolation(ctx context.Context) error { return r.net.Isolation(ctx) }

// Isolated is Isolation as it was found last, when that was not longer ago than within. Whoever asks often changes nothing.
func (r *Runtime) Isolated(ctx context.Context, within time.Duration) error {
	return r.net.Isolated(ctx, within)
}

// NetworkFiles returns the binds (HostConfig.Binds) with which a sandbox sees the network's files of its reservation.
func (r *Runtime) NetworkFiles(ctx context.Context, reserved string) ([]string, error) {
	return r.net.NetworkFiles(ctx, reserved)
}

// Reconcile removes networks that no one holds, asserts the isolation rules and begins to make spare networks. It also removes
// what processes that were killed left of sandboxes' bounds, of reading images and of sandboxes' /etc.
func (r *Runtime) Reconcile(ctx context.Context, live []provisioner.Attachment) error {
	return r.net.Reconcile(ctx, live, func() error {
		r.limits.Reweigh(ctx)
		r.limits.ReleaseLeft()
		r.accounts.Sweep(ctx)
		return r.etcs.Sweep(ctx)
	})
}

// Close removes spare networks, and the rules when no network of the installation is left. The Runtime
// cannot reserve after it.
func (r *Runtime) Close(ctx context.Context) error {
	r.net.Stop()
	r.etcs.Close()
	r.stop()
	defer engine.CloseQuietly(r.engine)
	if left, err := r.net.RemoveSpare(ctx); left || err != nil {
		return err
	}
	return errors.Join(r.limits.Dissolve(), r.net.RemoveRules(ctx))
}
