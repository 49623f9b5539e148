package api

import (
	"context"
	"errors"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// errStopped ends a command whose client asked for its end.
var errStopped error = problem(fleet.CodeConflict, "", "the caller ended the command")

// execResult makes the last message of an exec.
func execResult(ctx context.Context, end fleet.ExecEnd, err error) wire.ExecResult {
	result := wire.ExecResult{ExitCode: end.Code, MayRun: errors.Is(err, provisioner.ErrStillRuns)}
	if err != nil {
		result.Problem = execProblem(ctx, err)
		return result
	}
	if end.Cause != "" {
		result.Ended = &wire.ExecEnded{
			Cause: string(end.Cause), By: end.By, Processes: end.Killed,
			Size: end.Size.Name, MemoryMiB: end.Size.MemoryMiB, Pids: end.Size.Pids, Larger: end.Larger,
		}
	}
	return result
}
