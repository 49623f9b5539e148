package engine

import (
	"context"

	"github.com/bothy-env/bothy/internal/engine/observe"
	"github.com/bothy-env/bothy/internal/fleet"
)

// observe makes the parts that look at the sandboxes that run.
func (e *Engine) observe() {
	c := observe.Config{
		Store: e.store, Hosts: e.hosts, Rows: e.rows, Journal: e.journal, Bus: e.bus, Clock: e.clock, Guard: e.guard, Logger: e.logger,
		Instance: e.cfg.Instance, Labels: e.labels, Tick: e.cfg.Tick, SweepEvery: e.cfg.SweepEvery,
		FindLost: func(ctx context.Context, h *Host, env fleet.Environment) error {
			return e.sweeper.FindLost(ctx, h, env)
		},
	}
	e.meter, e.usages, e.memory = observe.NewMeter(c), observe.NewUsages(c), observe.NewMemory(c)
	e.liveness = observe.NewLiveness(c, e.memory)
}
