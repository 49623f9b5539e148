package docker

import (
	"context"
	"io"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

// Capabilities declares what this runtime is made for. Whether an engine lets it is what Ready tells.
func (r *Runtime) Capabilities() provisioner.Capabilities {
	return provisioner.Capabilities{
		SandboxKind: engine.KindContainer,
		TTY:         true, Networks: true, Stage: true, Pause: true, Traffic: true, Counters: true, Usage: true, Pressure: true,
		Marks: true, Kill: true, Restart: true, Watch: true, Ports: true, Pids: true, Files: true,
	}
}

// Ready pings the engine and asks whether it can do what sandboxes need. The sentence says what to do.
func (r *Runtime) Ready(ctx context.Context) error { return r.facts.Ready(ctx) }

// Facts asks the engine what it is and can do. The answer may be a minute old.
func (r *Runtime) Facts(ctx context.Context) (Facts, error) { return r.facts.Facts(ctx) }

// Shortages reports what bounds sandboxes badly on the engine's machine, and what that runs short of.
func (r *Runtime) Shortages(ctx context.Context) ([]Shortage, error) { return r.facts.Shortages(ctx) }

// Inspect reports on a sandbox.
func (r *Runtime) Inspect(ctx context.Context, id string) (provisioner.Status, error) {
	return r.sandboxes.Inspect(ctx, id)
}

// Exec runs a command inside and returns its exit code (128+n when signal n ended it).
func (r *Runtime) Exec(ctx context.Context, id string, req provisioner.ExecRequest, streams provisioner.Streams) (int, error) {
	return r.commands.Exec(ctx, id, req, streams)
}

// CopyTo unpacks a tar stream into directory dir, owned by user.
func (r *Runtime) CopyTo(ctx context.Context, id, dir, user string, tarStream io.Reader) error {
	return r.copier.CopyTo(ctx, id, dir, user, tarStream)
}

// CopyFrom returns path as a tar stream whose first entry is its base name, read with the rights of user.
func (r *Runtime) CopyFrom(ctx context.Context, id, file, user string) (io.ReadCloser, error) {
	return r.copier.CopyFrom(ctx, id, file, user)
}

// Logs writes the sandbox's own output, oldest first; with Follow until it ends or ctx does.
func (r *Runtime) Logs(ctx context.Context, id string, req provisioner.LogsRequest, write func(provisioner.LogLine) error) error {
	return r.logs.Logs(ctx, id, req, write)
}

// BoundSockets bounds the memory that a running sandbox's TCP connections hold.
func (r *Runtime) BoundSockets(ctx context.Context, id string) error {
	return r.limits.BoundSockets(ctx, id)
}

// CgroupParent returns the control group that a sandbox's container is to be made in (HostConfig.CgroupParent).
func (r *Runtime) CgroupParent(ctx context.Context) (string, error) { return r.limits.Parent(ctx) }
