package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// Reach finds the host of an environment.
type Reach interface {
	// For returns it. Code unavailable: only another daemon can reach it; the hint names that one.
	For(ctx context.Context, env fleet.Environment) (*target.Host, error)
}

// Meter measures use.
type Meter interface {
	// InUse records that an environment is in use until done.
	InUse(ctx context.Context, env fleet.Environment) (done func())
}

// Memory counts the processes that the kernel killed because a sandbox ran out of memory.
type Memory interface {
	// Count records the kernel's count of an environment, if it is new.
	Count(ctx context.Context, env fleet.Environment, kills int64) (fresh bool, err error)
}

// Liveness looks after sandboxes that end.
type Liveness interface {
	// Look has a sandbox that seems to have ended looked at soon, and returns a hint for its user.
	Look(env fleet.Environment) (hint string)
}

// Usages measure sandboxes.
type Usages interface {
	// Of returns the usage of an environment; unknown values are negative. It takes about a second at most.
	Of(ctx context.Context, env fleet.Environment) provisioner.Usage
}

// Variables are set for every command.
type Variables interface {
	// Variables returns them, NAME=value.
	Variables() []string
}

// SandboxesConfig is what Sandboxes needs.
type SandboxesConfig struct {
	Base
	Hosts        Reach
	Meter        Meter
	Memory       Memory
	Liveness     Liveness
	Usages       Usages
	Certificates Variables
	Blueprints   Blueprints
	// Variables are those of every command in every sandbox, NAME=value; those of a request and of a command override them.
	Variables []string
}

// Sandboxes are the use cases inside environments.
type Sandboxes struct {
	cfg     SandboxesConfig
	sourced sourced
}

// NewSandboxes makes it.
func NewSandboxes(c SandboxesConfig) *Sandboxes { return &Sandboxes{cfg: c} }

// Exec runs a command inside an environment and returns how it ended. If the environment ends first, that is no error but part of
// the answer.
//
// Errors: not_found, conflict (not ready for use), policy (not owned by, and not shared with, the caller, or the blueprint does not
// allow that user), invalid (no command), unavailable (the engine is away).
func (s *Sandboxes) Exec(ctx context.Context, who fleet.Identity, nameOrID string, req provisioner.ExecRequest, streams provisioner.Streams) (fleet.ExecEnd, error) {
	if len(req.Command) == 0 {
		return fleet.ExecEnd{}, fleet.Errorf(fleet.CodeInvalid, "no command to run").WithHint("for a shell: bothy shell %s", nameOrID)
	}
	env, h, err := s.usable(ctx, who, nameOrID, &req.User, "run a command in")
	if err != nil {
		return fleet.ExecEnd{}, err
	}
	if req.Dir == "" {
		req.Dir = env.Workspace
	}
	req.Env = slices.Concat(s.cfg.Variables, s.cfg.Certificates.Variables(), variables(env), req.Env)
	defer s.cfg.Meter.InUse(ctx, env)()
	before := countsOf(ctx, h, env)
	code, err := h.Runtime.Exec(ctx, env.SandboxID, req, streams)
	return s.execEnd(ctx, h, env, before, code, err)
}

// CopyTo unpacks a tar stream into directory dir of an environment, owned by user.
//
// Errors: as Exec, and invalid for an entry that would leave dir.
func (s *Sandboxes) CopyTo(ctx context.Context, who fleet.Identity, nameOrID, dir, user string, tar io.Reader) error {
	env, h, err := s.usable(ctx, who, nameOrID, &user, "copy files into")
	if err != nil {
		return err
	}
	if dir == "" {
		dir = env.Workspace
	}
	defer s.cfg.Meter.InUse(ctx, env)()
	if err := h.Runtime.CopyTo(ctx, env.SandboxID, dir, user, tar); err != nil {
		return s.runtimeError(env, err)
	}
	if dir == env.Workspace {
		s.noteSource(ctx, who, env)
	}
	return nil
}

// CopyFrom returns a path of an environment as a tar stream. The caller closes it.
//
// Errors: as Exec, and not_found (no such path).
func (s *Sandboxes) CopyFrom(ctx context.Context, who fleet.Identity, nameOrID, path, user string) (io.ReadCloser, error) {
	env, h, err := s.usable(ctx, who, nameOrID, &user, "copy files from")
	if err != nil {
		return nil, err
	}
	done := s.cfg.Meter.InUse(ctx, env)
	r, err := h.Runtime.CopyFrom(ctx, env.SandboxID, path, user)
	if err != nil {
		done()
		return nil, s.runtimeError(env, err)
	}
	return &copied{ReadCloser: r, s: s, env: env, done: sync.OnceFunc(done)}, nil
}

// copied converts errors of the runtime as Exec and CopyTo do. Until Close, the environment is in use: the reader
// may be slow.
type copied struct {
	io.ReadCloser
	s    *Sandboxes
	env  fleet.Environment
	done func()
}

// Close ends the copy and the use of the environment.
func (c *copied) Close() error {
	defer c.done()
	return c.ReadCloser.Close()
}

// Notes returns those of the runtime, complete after io.EOF.
func (c *copied) Notes() provisioner.CopyNotes {
	if noted, ok := c.ReadCloser.(provisioner.NotedCopy); ok {
		return noted.Notes()
	}
	return provisioner.CopyNotes{}
}

func (c *copied) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = c.s.runtimeError(c.env, err)
	}
	return n, err
}

// usable finds an environment that the caller may use and that is ready for use, and its host. An empty user becomes the
// default one. doing is that of permit.
func (s *Sandboxes) usable(ctx context.Context, who fleet.Identity, nameOrID string, user *string, doing string) (fleet.Environment, *target.Host, error) {
	env, err := s.cfg.Access.permit(ctx, who, nameOrID, toUse, doing)
	if err != nil {
		return env, nil, err
	}
	now := s.cfg.Clock.Now()
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
	h, err := s.cfg.Hosts.For(ctx, env)
	return env, h, err
}

// variables returns those of an environment, NAME=value, in order. Those of a command override them.
func variables(env fleet.Environment) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(env.Vars)) {
		all = append(all, name+"="+env.Vars[name])
	}
	return all
}

func hasUser(env fleet.Environment, user string) bool { return slices.Contains(env.Users, user) }

// runtimeError converts a class of the runtime to a code.
func (s *Sandboxes) runtimeError(env fleet.Environment, err error) error {
	if err == nil {
		return nil
	}
	sentence := provisioner.Sentence(err)
	out := &fleet.Error{Code: fleet.CodeInternal, Sentence: sentence, Err: err}
	switch provisioner.ClassOf(err) {
	case provisioner.NotFound:
		out.Code = fleet.CodeNotFound
	case provisioner.Conflict:
		out.Code, out.Hint = fleet.CodeConflict, s.cfg.Liveness.Look(env)
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
		out.Code, out.Hint = fleet.CodeDenied, "choose another directory, or another user: --user"
	case provisioner.Permanent:
		out.Code = fleet.CodeInvalid
	case provisioner.Cancelled:
		return fmt.Errorf("use environment %s: %w", env.Name, err)
	}
	return out
}

// Usage returns the usage of an environment now; unknown values are negative. It takes about a second at most, and never fails.
func (s *Sandboxes) Usage(ctx context.Context, env fleet.Environment) provisioner.Usage {
	return s.cfg.Usages.Of(ctx, env)
}
