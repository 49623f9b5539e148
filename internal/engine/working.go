package engine

import (
	"context"

	"github.com/bothy-env/bothy/internal/engine/hosts"
	"github.com/bothy-env/bothy/internal/engine/worker"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// workHosts gives the worker the hosts.
type workHosts struct{ *hosts.Hosts }

func (h workHosts) Ready(name string) worker.Readiness { return h.Hosts.Ready(name) }

// workHolds tells the worker on which hosts it may work.
type workHolds struct {
	*hosts.Hosts
	e *Engine
}

func (h workHolds) Workable() []string { return h.e.engineMarks.Looked(h.Served(h.e.Now())) }

// workSessions hands environments over for the worker.
type workSessions struct{ e *Engine }

func (s workSessions) MakeReady(ctx context.Context, h *Host, env fleet.Environment) (paused bool, err error) {
	return s.e.warmpool.MakeReady(ctx, h, env)
}

func (s workSessions) Deliver(ctx context.Context, h *Host, env fleet.Environment, files []provisioner.File) error {
	return s.e.warmpool.Deliver(ctx, h, env, "", files)
}

func (s workSessions) HandOver(ctx context.Context, env fleet.Environment) error {
	return s.e.Requests.HandOver(ctx, env)
}
