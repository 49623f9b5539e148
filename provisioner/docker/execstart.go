package docker

import (
	"context"
	"strings"

	"github.com/bothy-env/bothy/provisioner"
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

// startFailure turns the engine's words on a command that was not started into an error. Its words on a sandbox that is
// full of processes change with every version: there the numbers are asked.
func (r *Runtime) startFailure(ctx context.Context, id, text string, req provisioner.ExecRequest) error {
	say := func(format string, args ...any) error {
		return provisioner.Errorf(provisioner.Permanent, opExec, format, args...)
	}
	switch {
	case strings.Contains(text, "unable to find user"), strings.Contains(text, "no matching entries in"):
		return say("the sandbox has no user %q", req.User)
	case strings.TrimSpace(text) == folderMark:
		return say("the folder %q is not there in the sandbox, or user %q may not enter it", req.Dir, req.User)
	case strings.TrimSpace(text) == envMark:
		return say("the sandbox's image has no /usr/bin/env and no /bin/env, which bothy needs for variables whose names no shell passes on")
	case strings.TrimSpace(text) == outputMark:
		return say("no file for the command's output can be made in the sandbox's /tmp")
	case strings.Contains(text, "argument list too long"):
		return say("the command line is longer than the kernel takes: 128 KiB an argument or variable, about 2 MiB all together")
	case strings.Contains(text, `"/bin/sh"`):
		return say("the sandbox's image has no /bin/sh, which bothy needs to run commands")
	}
	if err := r.fullOf(ctx, id); err != nil {
		return err
	}
	if strings.Contains(strings.ToLower(text), "resource temporarily unavailable") {
		return &provisioner.Error{Class: provisioner.Quota, Op: opExec, Sentence: "the sandbox has as many processes as it may", Err: provisioner.ErrProcesses}
	}
	return say("the command could not be started: %s", text)
}

// unstarted looks at an error of the engine on the start of a command: newer ones say there what older ones print in its place.
func (r *Runtime) unstarted(ctx context.Context, id string, req provisioner.ExecRequest, err error) error {
	if provisioner.Is(err, provisioner.Cancelled) || provisioner.IsUnavailable(err) {
		return err
	}
	if text := provisioner.Sentence(err); notStarted(text, 126) {
		return r.startFailure(ctx, id, text, req)
	}
	if provisioner.Is(err, provisioner.NotFound) || provisioner.Is(err, provisioner.Conflict) {
		return err
	}
	if full := r.fullOf(ctx, id); full != nil {
		return full
	}
	return err
}

// startRoom is how many processes the start of a command may take for a moment: the engine's tool has threads, and each counts.
const startRoom = 16

// fullOf gives an error when a sandbox has as many processes as it may, as its control group or else the engine counts them.
func (r *Runtime) fullOf(ctx context.Context, id string) error {
	held, most, ok := r.pidsOf(ctx, id)
	if !ok {
		held, most, ok = r.countedPids(ctx, id)
	}
	return full(held, most, ok)
}

// full gives an error when so many processes leave no room for a start.
func full(held, most int64, ok bool) error {
	if !ok || held+startRoom <= most {
		return nil
	}
	return &provisioner.Error{Class: provisioner.Quota, Op: opExec, Err: provisioner.ErrProcesses,
		Sentence: "the sandbox has as many processes as it may, " + count(held) + " of " + count(most)}
}

// countedPids asks the engine how many processes a sandbox has and may have; false when it does not tell.
func (r *Runtime) countedPids(ctx context.Context, id string) (held, most int64, ok bool) {
	stats, err := r.stats(ctx, id, opExec)
	if err != nil {
		return 0, 0, false
	}
	limit := stats.PidsStats.Limit
	if limit == 0 || limit > 1<<31 {
		return 0, 0, false
	}
	return int64(stats.PidsStats.Current), int64(limit), true //nolint:gosec // bounded, and a count of processes is far below
}
