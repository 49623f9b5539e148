package engine

import (
	"context"
	"time"

	"github.com/bothy-env/bothy/internal/engine/acquire"
	"github.com/bothy-env/bothy/internal/engine/recovery"
	"github.com/bothy-env/bothy/internal/fleet"
)

// Marks remembers, outside of the database, how far its records were.
type Marks = recovery.Marks

// Doubt is an environment that may not be what its row says, and what is known of it.
type Doubt = recovery.Doubt

// recover makes what knows whether the database can be believed.
func (e *Engine) recover() {
	c := recovery.Config{
		Store: e.store, Hosts: e.hosts, Blueprints: e.blueprints, Journal: e.journal, Bus: e.bus, Clock: e.clock, Guard: e.guard, Logger: e.logger,
		Instance: e.cfg.Instance, Labels: e.labels, Marks: e.cfg.Marks, Restored: e.cfg.Restored, Life: e.life,
		Offered: func(bp fleet.Blueprint, size fleet.Size, rates []fleet.Rate, at time.Time) fleet.Environment {
			return acquire.Blank(bp, acquire.Priced(size, bp, rates, at), nil)
		},
	}
	e.safeMode = recovery.New(c)
	e.engineMarks = recovery.NewEngineMarks(c, e.safeMode, lists{e})
	e.doubts = recovery.NewDoubts(c, e.safeMode)
	e.health = recovery.NewHealth(c, e.cfg.ProbeEvery)
}

// lists has hosts compared with the database.
type lists struct{ e *Engine }

func (l lists) Hold(ctx context.Context, hosts ...string) (done func(), err error) {
	return l.e.sweeper.Hold(ctx, hosts...)
}

func (l lists) Look(ctx context.Context, h *Host, envs map[string]fleet.Environment) (recovery.Listed, error) {
	seen, err := l.e.sweeper.Look(ctx, h, envs)
	return recovery.Listed{Marks: seen.Marks, Stands: seen.Stands, Marked: seen.Marked}, err
}
