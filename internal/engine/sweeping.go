package engine

import "github.com/bothy-env/bothy/internal/engine/sweep"

// LeftHost is a host that this daemon declared once and does not any more.
type LeftHost = sweep.LeftHost

// sweep makes what compares hosts with what is recorded.
func (e *Engine) sweep() {
	c := sweep.Config{
		Store: e.store, Rows: e.rows, Journal: e.journal, Bus: e.bus, Clock: e.clock, Guard: e.guard, Logger: e.logger, Hosts: e.hosts,
		Safety: e.safeMode, Marks: e.engineMarks, Evidence: e.evidence, Sandboxes: e.liveness, Ended: e.health, Reserved: e.worker.Unwritten, Certificates: e.certificates,
		Instance: e.cfg.Instance, Labels: e.labels, Every: e.cfg.SweepEvery, Grace: e.cfg.OrphanGrace,
	}
	e.local = sweep.NewLocal(c, e.blueprints, e.cfg.Worker, e.cfg.Left)
	e.sweeper = sweep.New(c, e.local)
}
