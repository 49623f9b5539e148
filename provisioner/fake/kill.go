package fake

import (
	"context"

	"github.com/bothy-env/bothy/provisioner"
)

var _ provisioner.Killer = (*Runtime)(nil)

// CanKill reports that there are means, unless DisarmKill took them away.
func (r *Runtime) CanKill() error {
	if err := r.w.undeclared("kill sandbox from the host", r.w.like.can.Kill); err != nil {
		return err
	}
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if r.w.disarmed {
		return provisioner.Errorf(provisioner.Permanent, "kill sandbox from the host", "the engine is on another machine")
	}
	return nil
}

// DisarmKill takes away the means to kill, as with an engine on another machine.
func (w *World) DisarmKill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.disarmed = true
}

// Kill ends a sandbox's one process.
func (r *Runtime) Kill(ctx context.Context, ref provisioner.Ref, environment string) (killed int, err error) {
	const op = "kill sandbox from the host"
	if err := r.CanKill(); err != nil {
		return 0, err
	}
	err = r.w.simple(ctx, OpKill, r.w.environmentOf(ref.ID), func() error {
		c, err := r.w.container(op, ref.ID)
		if err != nil {
			return err
		}
		if err := sameEnvironment(op, environment, c); err != nil || c.Sandbox.ended() {
			return err
		}
		c.Sandbox.end(r.w.now().UTC(), exitByKillCode, "")
		r.w.tell(r.w.found(c))
		killed = 1
		return r.w.resources.put(ref.ID, c)
	})
	return killed, err
}
