package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// Exec runs a command inside an environment and returns how it ended. What ends with its environment is no error: the
// end says why.
//
// Errors: not_found, conflict (not ready for use), policy (it is not theirs and not shared with them, or that user may not
// be taken), invalid (no command), unavailable (the engine is away).
func (e *Engine) Exec(ctx context.Context, who fleet.Identity, nameOrID string, req provisioner.ExecRequest, streams provisioner.Streams) (fleet.ExecEnd, error) {
	if len(req.Command) == 0 {
		return fleet.ExecEnd{}, fleet.Errorf(fleet.CodeInvalid, "no command to run").WithHint("for a shell: bothy shell %s", nameOrID)
	}
	env, h, err := e.usable(ctx, who, nameOrID, &req.User, "run a command in")
	if err != nil {
		return fleet.ExecEnd{}, err
	}
	if req.Dir == "" {
		req.Dir = env.Workspace
	}
	req.Env = slices.Concat(e.cfg.Variables, e.certificates.Variables(), variables(env), req.Env)
	defer e.meter.InUse(ctx, env)()
	before := countsOf(ctx, h, env)
	code, err := h.Runtime.Exec(ctx, env.SandboxID, req, streams)
	return e.execEnd(ctx, h, env, before, code, err)
}

// CopyTo unpacks a tar stream into folder dir of an environment, owned by user.
//
// Errors: as Exec, and invalid for an entry that would leave dir.
func (e *Engine) CopyTo(ctx context.Context, who fleet.Identity, nameOrID, dir, user string, tar io.Reader) error {
	env, h, err := e.usable(ctx, who, nameOrID, &user, "copy files into")
	if err != nil {
		return err
	}
	if dir == "" {
		dir = env.Workspace
	}
	defer e.meter.InUse(ctx, env)()
	if err := h.Runtime.CopyTo(ctx, env.SandboxID, dir, user, tar); err != nil {
		return e.runtimeError(env, err)
	}
	if dir == env.Workspace {
		e.noteSource(ctx, who, env)
	}
	return nil
}

// CopyFrom gives a path of an environment as a tar stream. The caller closes it.
//
// Errors: as Exec, and not_found when the path is not there.
func (e *Engine) CopyFrom(ctx context.Context, who fleet.Identity, nameOrID, path, user string) (io.ReadCloser, error) {
	env, h, err := e.usable(ctx, who, nameOrID, &user, "copy files from")
	if err != nil {
		return nil, err
	}
	done := e.meter.InUse(ctx, env)
	r, err := h.Runtime.CopyFrom(ctx, env.SandboxID, path, user)
	if err != nil {
		done()
		return nil, e.runtimeError(env, err)
	}
	return &copied{ReadCloser: r, e: e, env: env, done: sync.OnceFunc(done)}, nil
}

// copied says what a copy that broke off means, as Exec and CopyTo do. Until it is closed the environment is in use: whoever
// reads it may be slow.
type copied struct {
	io.ReadCloser
	e    *Engine
	env  fleet.Environment
	done func()
}

// Close ends the copy, and with it the use of the environment.
func (c *copied) Close() error {
	defer c.done()
	return c.ReadCloser.Close()
}

// Notes are the runtime's, whole after io.EOF.
func (c *copied) Notes() provisioner.CopyNotes {
	if noted, ok := c.ReadCloser.(provisioner.NotedCopy); ok {
		return noted.Notes()
	}
	return provisioner.CopyNotes{}
}

func (c *copied) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = c.e.runtimeError(c.env, err)
	}
	return n, err
}

// usable finds an environment that somebody may use, that can be used now, and the host it stands on, and settles as whom; doing
// is permit's.
func (e *Engine) usable(ctx context.Context, who fleet.Identity, nameOrID string, user *string, doing string) (fleet.Environment, *Host, error) {
	env, err := e.permit(ctx, who, nameOrID, toUse, doing)
	if err != nil {
		return env, nil, err
	}
	now := e.Now()
	if !env.LeasedAt(now) {
		err := notLeased(&env, now)
		return env, nil, err
	}
	if env.Work.Action == fleet.Personalise {
		err := notReady(&env)
		return env, nil, err
	}
	if *user == "" && len(env.Users) > 0 {
		*user = env.Users[0]
	}
	if !hasUser(env, *user) {
		return env, nil, fleet.Errorf(fleet.CodePolicy, "blueprint %s does not let commands run as user %q", env.Blueprint, *user).
			WithHint("allowed: %s", strings.Join(env.Users, ", "))
	}
	h, err := e.hosts.For(ctx, env)
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

func hasUser(env fleet.Environment, user string) bool { return slices.Contains(env.Users, user) }

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
		out.Code, out.Hint = fleet.CodeConflict, e.liveness.Look(env)
	case provisioner.Refused:
		out.Code, out.Hint = fleet.CodeConflict, "see what listens inside: bothy exec "+env.Name+" -- ss -ltn"
	case provisioner.Quota:
		out.Code = fleet.CodeUnavailable
		if errors.Is(err, provisioner.ErrProcesses) {
			out.Code, out.Hint = fleet.CodeQuota, "end some of its processes, or delete it: bothy down "+env.Name
		}
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
