package exec

import (
	"context"
	"strings"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

// notStarted reports whether the output of a command that wrote nothing of ours is the engine's words on
// why it could not be started.
func notStarted(text string, code int) bool {
	if code != 126 && code != 127 {
		return false
	}
	text = strings.TrimSpace(text)
	if code == 126 && (text == folderMark || text == envMark || text == outputMark) {
		return true
	}
	for _, words := range []string{"OCI runtime exec failed", "unable to find user", "no matching entries in", "procReady not received"} {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}

// StartFailure turns the engine's words on a command that was not started into an error. Its words on a sandbox that is
// full of processes change with every version: there the numbers are asked.
func (r *Runner) StartFailure(ctx context.Context, id, text string, req provisioner.ExecRequest) error {
	say := func(format string, args ...any) error {
		return provisioner.Errorf(provisioner.Permanent, engine.OpExec, format, args...)
	}
	switch {
	case strings.Contains(text, "unable to find user"), strings.Contains(text, "no matching entries in"):
		return say("the sandbox has no user %q", req.User)
	case strings.TrimSpace(text) == folderMark:
		return say("the directory %q does not exist in the sandbox, or user %q may not enter it", req.Dir, req.User)
	case strings.TrimSpace(text) == envMark:
		return say("the sandbox's image has no /usr/bin/env and no /bin/env, which bothy needs for variables whose names no shell passes on")
	case strings.TrimSpace(text) == outputMark:
		return say("no file for the command's output can be made in the sandbox's /tmp")
	case strings.Contains(text, "argument list too long"):
		return say("the command line is longer than the kernel takes: 128 KiB an argument or variable, about 2 MiB all together")
	case strings.Contains(text, `"/bin/sh"`):
		return say("the sandbox's image has no /bin/sh, which bothy needs to run commands")
	}
	if err := r.limits.Full(ctx, id); err != nil {
		return err
	}
	if strings.Contains(strings.ToLower(text), "resource temporarily unavailable") {
		return &provisioner.Error{Class: provisioner.Quota, Op: engine.OpExec, Sentence: "the sandbox has as many processes as it may", Err: provisioner.ErrProcesses}
	}
	return say("the command could not be started: %s", text)
}

// unstarted looks at an error of the engine on the start of a command: newer ones say there what older ones print in its place.
func (r *Runner) unstarted(ctx context.Context, id string, req provisioner.ExecRequest, err error) error {
	if provisioner.Is(err, provisioner.Cancelled) || provisioner.IsUnavailable(err) {
		return err
	}
	if text := provisioner.Sentence(err); notStarted(text, 126) {
		return r.StartFailure(ctx, id, text, req)
	}
	if provisioner.Is(err, provisioner.NotFound) || provisioner.Is(err, provisioner.Conflict) {
		return err
	}
	if full := r.limits.Full(ctx, id); full != nil {
		return full
	}
	return err
}
