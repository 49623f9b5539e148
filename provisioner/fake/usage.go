package fake

import (
	"context"

	"github.com/bothy-env/bothy/provisioner"
)

var _ provisioner.Surveyor = (*Runtime)(nil)

// Usage tells what SetUsage set, and counts the sandbox's main process and its commands.
func (r *Runtime) Usage(ctx context.Context, id string) (used provisioner.Usage, err error) {
	used = provisioner.Unknown()
	if err := r.w.undeclared("measure use", r.w.like.can.Usage); err != nil {
		return used, err
	}
	err = r.w.simple(ctx, OpUsage, r.w.environmentOf(id), func() error {
		c, err := r.w.counting(id)
		if err == nil && c.Usage != nil {
			used = *c.Usage
		}
		return err
	})
	if err == nil && used.Pids < 0 {
		used.Pids = 1 + int64(len(r.w.Processes(id)))
	}
	return used, err
}

// SetUsage says what a sandbox uses; provisioner.Unknown for what cannot be told.
func (w *World) SetUsage(id string, used provisioner.Usage) error {
	return w.counted(id, func(s *sandbox) { s.Usage = &used })
}
