package fake

import (
	"context"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

var _ provisioner.Gauge = (*Runtime)(nil)

// CPUTime tells what AddCPU counted. It shares its fault point with Traffic: an engine asks for both in one place.
func (r *Runtime) CPUTime(ctx context.Context, id string) (cpu time.Duration, err error) {
	if err := r.w.undeclared("read counters", r.w.like.can.Counters); err != nil {
		return 0, err
	}
	err = r.w.simple(ctx, OpTraffic, r.w.environmentOf(id), func() error {
		c, err := r.w.counting(id)
		cpu = c.CPUTime
		return err
	})
	return cpu, err
}

// OOMKills tells what AddOOMKill counted. It has no fault point, as it reads what is on the host.
func (r *Runtime) OOMKills(_ context.Context, id string) (kills int64, err error) {
	if err := r.w.undeclared("read counters", r.w.like.can.Counters); err != nil {
		return -1, err
	}
	err = r.w.tx(func() error {
		c, err := r.w.counting(id)
		kills = c.OOMKills
		return err
	})
	return kills, err
}

// ForksRefused tells what AddForkRefused counted.
func (r *Runtime) ForksRefused(_ context.Context, id string) (refused int64, err error) {
	if err := r.w.undeclared("read counters", r.w.like.can.Counters); err != nil {
		return -1, err
	}
	err = r.w.tx(func() error {
		c, err := r.w.counting(id)
		refused = c.ForksRefused
		return err
	})
	return refused, err
}

// AddForkRefused makes a sandbox have been refused one more process.
func (w *World) AddForkRefused(id string) error {
	return w.counted(id, func(s *sandbox) { s.ForksRefused++ })
}

// counting returns a sandbox that runs.
func (w *World) counting(id string) (sandbox, error) {
	const op = "read counters"
	c, err := w.container(op, id)
	switch {
	case err != nil:
		return sandbox{}, err
	case c.Sandbox.ended():
		return sandbox{}, provisioner.Errorf(provisioner.Conflict, op, "the sandbox is not running")
	}
	return *c.Sandbox, nil
}

// AddCPU makes a sandbox's processes have worked so much more.
func (w *World) AddCPU(id string, d time.Duration) error {
	return w.counted(id, func(s *sandbox) { s.CPUTime += d })
}

// AddOOMKill makes the kernel have ended a process of a sandbox for lack of memory.
func (w *World) AddOOMKill(id string) error {
	return w.oomKilled(id, true)
}

// AddUntoldOOMKill is AddOOMKill, but that Watch does not tell of it.
func (w *World) AddUntoldOOMKill(id string) error {
	return w.oomKilled(id, false)
}

func (w *World) oomKilled(id string, told bool) error {
	if err := w.counted(id, func(s *sandbox) { s.OOMKills++ }); err != nil || !told {
		return err
	}
	return w.tx(func() error {
		c, err := w.container("count", id)
		if err != nil {
			return err
		}
		f := w.found(c)
		f.OutOfMemory = true
		w.tell(f)
		return nil
	})
}

func (w *World) counted(id string, change func(*sandbox)) error {
	return w.tx(func() error {
		c, err := w.container("count", id)
		if err != nil {
			return err
		}
		change(c.Sandbox)
		return w.resources.put(id, c)
	})
}
