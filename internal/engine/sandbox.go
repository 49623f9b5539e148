package engine

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// Exec runs a command inside an environment and returns its exit code.
//
// Errors: not_found, conflict (not ready for use), policy (that user may not
// be taken), invalid (no command), unavailable (the engine is away).
func (e *Engine) Exec(ctx context.Context, _, nameOrID string, req provisioner.ExecRequest, streams provisioner.Streams) (int, error) {
	if len(req.Command) == 0 {
		return 0, fleet.Errorf(fleet.CodeInvalid, "no command to run").WithHint("for a shell: bothy shell %s", nameOrID)
	}
	env, err := e.usable(ctx, nameOrID, &req.User)
	if err != nil {
		return 0, err
	}
	if req.Dir == "" {
		req.Dir = env.Workspace
	}
	code, err := e.runtime.Exec(ctx, env.SandboxID, req, streams)
	return code, e.runtimeError(env, err)
}

// CopyTo unpacks a tar stream into folder dir of an environment, owned by user.
//
// Errors: as Exec, and invalid for an entry that would leave dir.
func (e *Engine) CopyTo(ctx context.Context, _, nameOrID, dir, user string, tar io.Reader) error {
	env, err := e.usable(ctx, nameOrID, &user)
	if err != nil {
		return err
	}
	if dir == "" {
		dir = env.Workspace
	}
	return e.runtimeError(env, e.runtime.CopyTo(ctx, env.SandboxID, dir, user, tar))
}

// CopyFrom gives a path of an environment as a tar stream. The caller closes it.
//
// Errors: as Exec, and not_found when the path is not there.
func (e *Engine) CopyFrom(ctx context.Context, _, nameOrID, path, user string) (io.ReadCloser, error) {
	env, err := e.usable(ctx, nameOrID, &user)
	if err != nil {
		return nil, err
	}
	r, err := e.runtime.CopyFrom(ctx, env.SandboxID, path, user)
	return r, e.runtimeError(env, err)
}

// usable finds an environment that can be used now, and settles who uses it.
func (e *Engine) usable(ctx context.Context, nameOrID string, user *string) (fleet.Environment, error) {
	env, err := e.store.Find(ctx, nameOrID)
	if err != nil {
		return env, err
	}
	now := e.Now()
	if env.State != fleet.Leased || env.Lease.Expired(now) {
		err := notLeased(&env, now)
		return env, err
	}
	if *user == "" && len(env.Users) > 0 {
		*user = env.Users[0]
	}
	if !mayUse(env, *user) {
		return env, fleet.Errorf(fleet.CodePolicy, "blueprint %s does not let commands run as user %q", env.Blueprint, *user).
			WithHint("allowed: %v", env.Users)
	}
	return env, nil
}

func mayUse(env fleet.Environment, user string) bool { return slices.Contains(env.Users, user) }

// runtimeError turns a runtime's class into the code that people and machines see.
func (e *Engine) runtimeError(env fleet.Environment, err error) error {
	if err == nil {
		return nil
	}
	sentence := provisioner.Sentence(err)
	out := &fleet.Error{Code: fleet.CodeInternal, Sentence: sentence, Err: err}
	switch provisioner.ClassOf(err) {
	case provisioner.NotFound:
		out.Code = fleet.CodeNotFound
	case provisioner.Conflict:
		out.Code = fleet.CodeConflict
	case provisioner.Quota:
		out.Code = fleet.CodeUnavailable
	case provisioner.Transient:
		out.Code, out.Hint = fleet.CodeUnavailable, "try again; see: bothy doctor"
	case provisioner.Permanent:
		out.Code = fleet.CodeInvalid
	case provisioner.Cancelled:
		return fmt.Errorf("use environment %s: %w", env.Name, err)
	}
	return out
}
