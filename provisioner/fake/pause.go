package fake

import (
	"context"

	"github.com/bothy-env/bothy/provisioner"
)

var (
	_ provisioner.Pauser = (*Runtime)(nil)
	_ provisioner.Meter  = (*Runtime)(nil)
)

// Pause freezes a sandbox: commands cannot be begun in it, and Deliver waits.
func (r *Runtime) Pause(ctx context.Context, id string) error {
	return r.freeze(ctx, OpPause, "pause sandbox", id, true)
}

// Unpause thaws a sandbox.
func (r *Runtime) Unpause(ctx context.Context, id string) error {
	return r.freeze(ctx, OpUnpause, "unpause sandbox", id, false)
}

func (r *Runtime) freeze(ctx context.Context, op Op, name, id string, paused bool) error {
	if err := r.w.undeclared(name, r.w.like.can.Pause); err != nil {
		return err
	}
	return r.w.simple(ctx, op, r.w.environmentOf(id), func() error {
		c, err := r.w.container(name, id)
		switch {
		case err != nil:
			return err
		case c.Sandbox.ended():
			return provisioner.Errorf(provisioner.Conflict, name, "the sandbox is not running")
		case c.Sandbox.Status.Paused == paused:
			return nil
		}
		c.Sandbox.Status.Paused, c.Sandbox.Status.Running = paused, !paused
		r.w.tell(r.w.found(c))
		return r.w.resources.put(id, c)
	})
}

// Traffic tells the bytes that AddTraffic counted.
func (r *Runtime) Traffic(ctx context.Context, id string) (bytes int64, err error) {
	const op = "measure traffic"
	if err := r.w.undeclared(op, r.w.like.can.Traffic); err != nil {
		return 0, err
	}
	err = r.w.simple(ctx, OpTraffic, r.w.environmentOf(id), func() error {
		c, err := r.w.container(op, id)
		if err != nil {
			return err
		}
		if c.Sandbox.ended() {
			return provisioner.Errorf(provisioner.Conflict, op, "the sandbox is not running")
		}
		bytes = c.Sandbox.Traffic
		return nil
	})
	return bytes, err
}

// AddTraffic makes a sandbox receive or send that many bytes over its network.
func (w *World) AddTraffic(id string, bytes int64) error {
	return w.tx(func() error {
		c, err := w.container("add traffic", id)
		if err != nil {
			return err
		}
		c.Sandbox.Traffic += bytes
		return w.resources.put(id, c)
	})
}
