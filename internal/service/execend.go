package service

import (
	"context"
	"time"

	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

const (
	eventExpired  = "lease.expired"
	eventReleased = "environment.released"
	// killedCode is the exit code after SIGKILL.
	killedCode = 137
	// endFor limits the search for why a command ended.
	endFor = 5 * time.Second
	// lookBack is how many events to search for the end of an environment: its deletion adds some.
	lookBack = 100
)

// counts are those of the kernel for a sandbox: processes killed out of memory, and forks refused by the limit. Negative: unknown.
type counts struct{ oom, refused int64 }

// countsOf reads the counts of an environment.
func countsOf(ctx context.Context, h *target.Host, env fleet.Environment) counts {
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

// execEnd finds out why a command ended: by itself, with its environment, or because it ran out of memory or
// processes. before are the counts from before the command.
func (s *Sandboxes) execEnd(ctx context.Context, h *target.Host, env fleet.Environment, before counts, code int, err error) (fleet.ExecEnd, error) {
	end := fleet.ExecEnd{Code: code, Size: env.Size}
	gone := provisioner.Is(err, provisioner.NotFound) || provisioner.Is(err, provisioner.Conflict)
	if err == nil && code == 0 || err != nil && !gone {
		return end, s.runtimeError(env, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endFor)
	defer cancel()
	if gone || code == killedCode {
		if end.Cause, end.By = s.environmentEnd(ctx, env); end.Cause != "" {
			end.Code = killedCode
			return end, nil
		}
	}
	if err != nil {
		return end, s.runtimeError(env, err)
	}
	after := countsOf(ctx, h, env)
	if before.oom >= 0 && after.oom > before.oom {
		end.Cause, end.Killed = fleet.EndedOutOfMemory, after.oom-before.oom
		if larger, ok := larger(s.cfg.Blueprints, env); ok {
			end.Larger = larger.Name
		}
		if _, err := s.cfg.Memory.Count(ctx, env, after.oom); err != nil {
			s.cfg.Logger.Warn("cannot record that an environment ran out of memory", "environment", env.Name, "error", err)
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

// environmentEnd returns why an environment ended while a command ran in it; "" if it did not.
func (s *Sandboxes) environmentEnd(ctx context.Context, env fleet.Environment) (cause fleet.EndCause, by string) {
	row, err := s.cfg.Store.Get(ctx, env.ID)
	if err != nil {
		return "", ""
	}
	if row.State == fleet.Leased {
		if row.Lease.Expired(s.cfg.Clock.Now()) {
			return fleet.EndedExpired, ""
		}
		return "", ""
	}
	events, err := s.cfg.Store.EventsBy(ctx, store.EventFilter{EnvironmentID: env.ID, Limit: lookBack, Newest: true})
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
