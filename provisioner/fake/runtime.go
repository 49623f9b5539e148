package fake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/bothy-env/bothy/provisioner"
)

// Runtime acts inside the sandboxes of a World.
type Runtime struct {
	w *World
	// handedOut are the networks that this Runtime reserved, as a process remembers them, and how
	// many Reconciles in a row have missed each.
	handedOut map[string]int
	// strange are the ids of networks in use that the last Reconcile found with no one who holds them.
	strange map[string]bool
}

var _ provisioner.Runtime = (*Runtime)(nil)

// Ready reports whether the provider is switched on.
func (r *Runtime) Ready(ctx context.Context) error { return r.w.simple(ctx, OpRuntimeReady, "", nil) }

// ImageID is the id that ResolveImage gives for a reference that exists.
func ImageID(ref string) string {
	sum := sha256.Sum256([]byte(ref))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// knownImage reports whether id is of an image that exists.
func (w *World) knownImage(id string) bool {
	return slices.ContainsFunc(w.opts.Images, func(ref string) bool { return ImageID(ref) == id })
}

// ResolveImage returns a reference's id, or an id back.
func (r *Runtime) ResolveImage(ctx context.Context, ref string) (id string, err error) {
	err = r.w.simple(ctx, OpResolveImage, "", func() error {
		switch {
		case slices.Contains(r.w.opts.Images, ref):
			id = ImageID(ref)
		case r.w.knownImage(ref):
			id = ref
		default:
			return provisioner.Errorf(provisioner.NotFound, "resolve image", "no such image: %q", ref)
		}
		return nil
	})
	return id, err
}

// Inspect reports on a sandbox.
func (r *Runtime) Inspect(ctx context.Context, id string) (status provisioner.Status, err error) {
	err = r.w.simple(ctx, OpInspect, r.w.environmentOf(id), func() error {
		c, err := r.w.container("inspect sandbox", id)
		if err == nil {
			status = c.Sandbox.Status
		}
		return err
	})
	return status, err
}

// environmentOf returns the environment that a sandbox belongs to, for faults to match; "" when unknown.
func (w *World) environmentOf(id string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r, ok := w.resources.rows[id]; ok {
		return r.Labels[provisioner.LabelEnvironment]
	}
	return ""
}

func stateOf(s provisioner.Status) provisioner.State {
	switch {
	case s.Running:
		return provisioner.StateRunning
	case s.Paused:
		return provisioner.StatePaused
	}
	return provisioner.StateEnded
}

// Logs writes what the sandbox's main process said.
func (r *Runtime) Logs(ctx context.Context, id string, req provisioner.LogsRequest, write func(provisioner.LogLine) error) error {
	if err := r.w.simple(ctx, OpLogs, r.w.environmentOf(id), nil); err != nil {
		return err
	}
	next, ended := 0, false
	lines, err := r.w.logs(id, &next, &ended)
	if err != nil {
		return err
	}
	lines = slices.DeleteFunc(lines, func(l provisioner.LogLine) bool { return l.At.Before(req.Since) })
	if req.Tail > 0 && len(lines) > req.Tail {
		lines = lines[len(lines)-req.Tail:]
	}
	for {
		for _, line := range lines {
			if err := write(line); err != nil {
				return err
			}
		}
		if !req.Follow || ended {
			return nil
		}
		if lines, err = r.follow(ctx, id, &next, &ended); err != nil {
			return err
		}
	}
}

// follow waits for more lines or the sandbox's end. A sandbox that goes while it is followed has ended.
func (r *Runtime) follow(ctx context.Context, id string, next *int, ended *bool) ([]provisioner.LogLine, error) {
	err := r.w.await(ctx, func() (bool, error) {
		c, err := r.w.container("follow log", id)
		if provisioner.Is(err, provisioner.NotFound) {
			return true, nil
		}
		return err != nil || len(c.Sandbox.Logs) > *next || c.Sandbox.ended(), err
	})
	if ctx.Err() != nil {
		return nil, cancelled(OpLogs, ctx.Err())
	}
	if err != nil {
		return nil, err
	}
	lines, err := r.w.logs(id, next, ended)
	if provisioner.Is(err, provisioner.NotFound) {
		*ended = true
		return nil, nil
	}
	return lines, err
}

// logs returns the lines from *next on, moves it, and says whether the sandbox has ended.
func (w *World) logs(id string, next *int, ended *bool) (lines []provisioner.LogLine, err error) {
	err = w.tx(func() error {
		c, err := w.container("read log", id)
		if err != nil {
			return err
		}
		lines = slices.Clone(c.Sandbox.Logs[*next:])
		*next, *ended = len(c.Sandbox.Logs), c.Sandbox.ended()
		return nil
	})
	return lines, err
}
