package engine

import (
	"context"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

const (
	eventExpired  = "lease.expired"
	eventReleased = "environment.released"
	// killedCode is the exit code of what was ended by the signal KILL.
	killedCode = 137
	// endFor bounds the look for why a command ended.
	endFor = 5 * time.Second
	// lookBack is among how many events the one is looked for that ended an environment: its removal adds some.
	lookBack = 100
)

// counts are the kernel's, of a sandbox: processes that were ended for want of memory, and refused at the limit. Negative: not known.
type counts struct{ oom, refused int64 }

// countsOf reads them.
func countsOf(ctx context.Context, h *Host, env fleet.Environment) counts {
	gauge, ok := provisioner.Can[provisioner.Gauge](h.Runtime)
	if !ok {
		return counts{-1, -1}
	}
	read := func(one func(context.Context, string) (int64, error)) int64 {
		n, err := one(ctx, env.SandboxID)
		if err != nil {
			return -1
		}
		return n
	}
	return counts{oom: read(gauge.OOMKills), refused: read(gauge.ForksRefused)}
}

// execEnd finds out why a command ended: whether it did by itself, or with its environment, or for want of memory or of
// processes, of which the kernel's counts before are given.
func (e *Engine) execEnd(ctx context.Context, h *Host, env fleet.Environment, before counts, code int, err error) (fleet.ExecEnd, error) {
	end := fleet.ExecEnd{Code: code, Size: env.Size}
	gone := provisioner.Is(err, provisioner.NotFound) || provisioner.Is(err, provisioner.Conflict)
	if err == nil && code == 0 || err != nil && !gone {
		return end, e.runtimeError(env, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endFor)
	defer cancel()
	if gone || code == killedCode {
		if end.Cause, end.By = e.environmentEnd(ctx, env); end.Cause != "" {
			end.Code = killedCode
			return end, nil
		}
	}
	if err != nil {
		return end, e.runtimeError(env, err)
	}
	after := countsOf(ctx, h, env)
	if before.oom >= 0 && after.oom > before.oom {
		end.Cause, end.Killed = fleet.EndedOutOfMemory, after.oom-before.oom
		if larger, ok := e.larger(env); ok {
			end.Larger = larger.Name
		}
		if _, err := e.memory.Count(ctx, env, after.oom); err != nil {
			e.logger.Warn("recording a want of memory failed", "environment", env.Name, "error", err)
		}
		return end, nil
	}
	if code == killedCode {
		end.Cause = fleet.EndedKilled
		if status, err := h.Runtime.Inspect(ctx, env.SandboxID); provisioner.Is(err, provisioner.NotFound) || err == nil && !status.Running && !status.Paused {
			end.Cause = fleet.EndedStopped
		}
	} else if before.refused >= 0 && after.refused > before.refused {
		end.Cause = fleet.EndedProcesses
	}
	return end, nil
}

// environmentEnd tells whether, and why, an environment ended while a command ran in it; "" when it did not.
func (e *Engine) environmentEnd(ctx context.Context, env fleet.Environment) (cause fleet.EndCause, by string) {
	row, err := e.store.Get(ctx, env.ID)
	if err != nil {
		return "", ""
	}
	if row.State == fleet.Leased {
		if row.Lease.Expired(e.Now()) {
			return fleet.EndedExpired, ""
		}
		return "", ""
	}
	events, err := e.store.EventsBy(ctx, store.EventFilter{EnvironmentID: env.ID, Limit: lookBack, Newest: true})
	if err != nil {
		return fleet.EndedStopped, ""
	}
	for i := len(events) - 1; i >= 0; i-- {
		switch events[i].Kind {
		case eventExpired:
			return fleet.EndedExpired, ""
		case eventReleased:
			return fleet.EndedReleased, events[i].Actor
		}
	}
	return fleet.EndedStopped, ""
}

// larger gives the next size of an environment's blueprint with more memory.
func (e *Engine) larger(env fleet.Environment) (fleet.Size, bool) {
	bp, err := e.blueprints.Get(env.Blueprint.Name + "@" + env.Blueprint.Version)
	if err != nil {
		return fleet.Size{}, false
	}
	return bp.LargerThan(env.Size)
}
