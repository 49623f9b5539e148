package engine

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// Exec runs a command inside an environment and returns its exit code.
//
// Errors: not_found, conflict (not ready for use), policy (that user may not
// be taken), invalid (no command), unavailable (the engine is away).
func (e *Engine) Exec(ctx context.Context, who fleet.Identity, nameOrID string, req provisioner.ExecRequest, streams provisioner.Streams) (int, error) {
	if len(req.Command) == 0 {
		return 0, fleet.Errorf(fleet.CodeInvalid, "no command to run").WithHint("for a shell: bothy shell %s", nameOrID)
	}
	env, h, err := e.usable(ctx, who, nameOrID, &req.User)
	if err != nil {
		return 0, err
	}
	if req.Dir == "" {
		req.Dir = env.Workspace
	}
	req.Env = append(variables(env), req.Env...)
	defer e.inUse(ctx, env)()
	code, err := h.Runtime.Exec(ctx, env.SandboxID, req, streams)
	return code, e.runtimeError(env, err)
}

// CopyTo unpacks a tar stream into folder dir of an environment, owned by user.
//
// Errors: as Exec, and invalid for an entry that would leave dir.
func (e *Engine) CopyTo(ctx context.Context, who fleet.Identity, nameOrID, dir, user string, tar io.Reader) error {
	env, h, err := e.usable(ctx, who, nameOrID, &user)
	if err != nil {
		return err
	}
	if dir == "" {
		dir = env.Workspace
	}
	defer e.inUse(ctx, env)()
	return e.runtimeError(env, h.Runtime.CopyTo(ctx, env.SandboxID, dir, user, tar))
}

// CopyFrom gives a path of an environment as a tar stream. The caller closes it.
//
// Errors: as Exec, and not_found when the path is not there.
func (e *Engine) CopyFrom(ctx context.Context, who fleet.Identity, nameOrID, path, user string) (io.ReadCloser, error) {
	env, h, err := e.usable(ctx, who, nameOrID, &user)
	if err != nil {
		return nil, err
	}
	defer e.inUse(ctx, env)()
	r, err := h.Runtime.CopyFrom(ctx, env.SandboxID, path, user)
	return r, e.runtimeError(env, err)
}

// usable finds an environment that can be used now and the host it stands on, and settles who uses it.
func (e *Engine) usable(ctx context.Context, who fleet.Identity, nameOrID string, user *string) (fleet.Environment, *Host, error) {
	env, err := e.find(ctx, who, nameOrID)
	if err != nil {
		return env, nil, err
	}
	now := e.Now()
	if env.State != fleet.Leased || env.Lease.Expired(now) {
		safe, err := e.safety(ctx)
		if err == nil && !safe.leased(&env, now) {
			err = notLeased(&env, now)
		}
		if err != nil {
			return env, nil, err
		}
	}
	if env.Work.Action == fleet.Personalise {
		return env, nil, fleet.Errorf(fleet.CodeConflict, "environment %s is just being handed over", env.Name).WithHint("try again in a moment")
	}
	if *user == "" && len(env.Users) > 0 {
		*user = env.Users[0]
	}
	if !mayUse(env, *user) {
		return env, nil, fleet.Errorf(fleet.CodePolicy, "blueprint %s does not let commands run as user %q", env.Blueprint, *user).
			WithHint("allowed: %s", strings.Join(env.Users, ", "))
	}
	h, err := e.hostFor(ctx, env)
	return env, h, err
}

// variables gives an environment's own variables, NAME=value, in order; a command's own come after them.
func variables(env fleet.Environment) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(env.Vars)) {
		all = append(all, name+"="+env.Vars[name])
	}
	return all
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
	case provisioner.Denied:
		out.Code, out.Hint = fleet.CodeDenied, "choose another folder, or another user: --user"
	case provisioner.Permanent:
		out.Code = fleet.CodeInvalid
	case provisioner.Cancelled:
		return fmt.Errorf("use environment %s: %w", env.Name, err)
	}
	return out
}
