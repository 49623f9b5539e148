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

func (h workHolds) Workable() []string { return h.e.looked(h.Served(h.e.Now())) }

// workRecovery tells the worker whether the database can be believed.
type workRecovery struct{ e *Engine }

func (r workRecovery) LookAndMark(ctx context.Context) error {
	_, err := r.e.lookAndMark(ctx)
	return err
}

func (r workRecovery) NoteGiven() { r.e.noteGiven() }

// workSessions hands environments over for the worker.
type workSessions struct{ e *Engine }

func (s workSessions) MakeReady(ctx context.Context, h *Host, env fleet.Environment) (paused bool, err error) {
	return s.e.makeReady(ctx, h, env)
}

func (s workSessions) Deliver(ctx context.Context, h *Host, env fleet.Environment, files []provisioner.File) error {
	return s.e.deliver(ctx, h, env, "", files)
}

func (s workSessions) HandOver(ctx context.Context, env fleet.Environment) error {
	return s.e.personaliseLate(ctx, env)
}
