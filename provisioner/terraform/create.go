package terraform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

// serialsPerGeneration keeps the serials of one environment rising over its
// create attempts: each begins a new Terraform state, which counts from 1 again.
const serialsPerGeneration = 1 << 20

// Create implements provisioner.Driver. A working directory that is there
// already is a leftover: class Conflict; Destroy removes it.
func (d *Driver) Create(ctx context.Context, spec provisioner.Spec, observe provisioner.Observer) (provisioner.Handle, error) {
	const op = "apply blueprint"
	t, unlock, err := d.begin(ctx, op, spec)
	if err != nil {
		return provisioner.Handle{}, err
	}
	defer unlock()
	dir := d.workdir(spec.Owner.Environment)
	if err := os.Mkdir(dir, 0o700); errors.Is(err, os.ErrExist) {
		return provisioner.Handle{}, provisioner.Errorf(provisioner.Conflict, op,
			"environment %s has a working directory from an earlier attempt, which has to be destroyed first", spec.Owner.Environment)
	} else if err != nil {
		return provisioner.Handle{}, fileError(op, err)
	}
	if err := d.fillWorkdir(dir, t, spec); err != nil {
		return provisioner.Handle{}, keepClass(err, os.RemoveAll(dir))
	}

	tell(observe, "plan", "%s applies %s@%s", t.Tool, spec.Blueprint.Name, spec.Blueprint.Version)
	out, err := d.run(ctx, apply, d.jobFor(spec, t, "create", observe), spec, t.Providers)
	handle, made, stateErr := d.handle(dir, spec, observe)
	switch {
	case err != nil:
		return handle, d.failure(ctx, op, out, err, applyPatterns)
	case stateErr != nil:
		return handle, stateErr
	case made.stopped(handle.Sandbox.ID):
		return handle, provisioner.Errorf(provisioner.Permanent, op, "the sandbox exited right after it was started: look at its image and command")
	}
	return handle, nil
}

// begin checks a spec, gets its template and takes its environment.
func (d *Driver) begin(ctx context.Context, op string, spec provisioner.Spec) (*template, func(), error) {
	unlock, err := d.take(ctx, op, spec)
	if err != nil {
		return nil, nil, err
	}
	t, err := d.template(ctx, spec.Blueprint)
	if err != nil {
		unlock()
		return nil, nil, err
	}
	return t, unlock, nil
}

// take locks an environment whose name is fit to be a folder's.
func (d *Driver) take(ctx context.Context, op string, spec provisioner.Spec) (func(), error) {
	id := spec.Owner.Environment
	if !environmentForm.MatchString(id) {
		return nil, provisioner.Errorf(provisioner.Permanent, op, "environment id %q is not lower-case letters, digits and hyphens", id)
	}
	unlock, err := d.environments.lock(ctx, id)
	if err == nil && ctx.Err() != nil {
		unlock()
		err = ctx.Err()
	}
	if err != nil {
		return nil, &provisioner.Error{Class: provisioner.Cancelled, Op: op, Sentence: "cancelled before it began", Err: err}
	}
	return unlock, nil
}

func (d *Driver) jobFor(spec provisioner.Spec, t *template, phase string, observe provisioner.Observer) job {
	dir := d.workdir(spec.Owner.Environment)
	run := "environment-" + spec.Owner.Environment
	return job{
		tool: t.Tool, dir: dir, run: run, read: []string{t.path}, engine: d.engineOf(spec.Sandbox.Engine), phase: phase, observe: observe,
	}
}

// handle reads what an apply left, complete or not.
func (d *Driver) handle(dir string, spec provisioner.Spec, observe provisioner.Observer) (provisioner.Handle, *state, error) {
	const op = "read Terraform's state"
	s, err := foundState(dir, func(sentence string) { tellWarning(observe, "create", sentence) })
	if err != nil {
		return provisioner.Handle{}, nil, fileError(op, err)
	}
	if s == nil {
		return provisioner.Handle{}, nil, provisioner.Errorf(provisioner.Permanent, op, "Terraform left no state that can be read")
	}
	h := provisioner.Handle{
		Resources: s.refs(),
		State:     s.raw,
		Serial:    spec.Owner.Generation*serialsPerGeneration + s.Serial,
	}
	id, err := s.sandboxID()
	if err != nil {
		return h, s, provisioner.Errorf(provisioner.Permanent, op, "%w", err)
	}
	h.Sandbox = provisioner.Ref{ID: id}
	if i := slices.IndexFunc(h.Resources, func(r provisioner.Ref) bool { return r.ID == id }); i >= 0 {
		h.Sandbox = h.Resources[i]
	}
	return h, s, nil
}

func tell(observe provisioner.Observer, phase, format string, args ...any) {
	if observe != nil {
		// Events of our own have no time from Terraform.
		observe(provisioner.Event{At: time.Now(), Phase: phase, Message: fmt.Sprintf(format, args...)})
	}
}

func tellWarning(observe provisioner.Observer, phase, sentence string) {
	tell(observe, phase, "Warning: %s", sentence)
}

// Settled says that the state of a handle that Create returned is kept elsewhere, sealed: the working directory, where it
// and the inputs lie in clear, is removed. Destroy makes it anew.
func (d *Driver) Settled(ctx context.Context, spec provisioner.Spec) error {
	const op = "clear working directory"
	unlock, err := d.take(ctx, op, spec)
	if err != nil {
		return err
	}
	defer unlock()
	if err := removeAny(d.workdir(spec.Owner.Environment)); err != nil {
		return fileError(op, err)
	}
	return nil
}
