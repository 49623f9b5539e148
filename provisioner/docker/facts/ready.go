package facts

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/docker/docker/client"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

// Ready pings the engine and asks whether it can do what sandboxes need. The sentence says what to do.
func (r *Reporter) Ready(ctx context.Context) error {
	const op = "reach Docker"
	cctx, cancel := context.WithTimeout(ctx, min(r.engine.Timeout, 5*time.Second))
	defer cancel()
	_, err := r.engine.API.Ping(cctx)
	switch {
	case err == nil:
		return r.capable(cctx)
	case ctx.Err() != nil:
		return r.engine.Fail(ctx, op, err)
	}
	say := "the Docker engine at " + r.engine.Host + " does not answer in time: look at its log, or restart it"
	switch {
	case engine.IsPermission(err):
		say = "no right to use the Docker socket " + r.engine.Host + ": run bothyd as root, or as a member of the group that owns the socket"
	case errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || client.IsErrConnectionFailed(err):
		say = "no Docker engine is running at " + r.engine.Host + ": start it (systemctl start docker), or set engine.host"
	case !errors.Is(err, context.DeadlineExceeded):
		say = "the Docker engine at " + r.engine.Host + " answers with an error: " + engine.Plain(err)
	}
	return &provisioner.Error{Class: provisioner.Transient, Op: op, Sentence: say, Unavailable: true, Err: err}
}
