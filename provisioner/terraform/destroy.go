package terraform

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bothy-env/bothy/provisioner"
)

// Destroy implements provisioner.Driver. It works from the newer of the given
// state and the working directory's (both, when they are of two attempts), and removes the directory last. With no
// state that holds a resource there is nothing for Terraform to do; what exists
// nevertheless is for the caller's sweep by label.
func (d *Driver) Destroy(ctx context.Context, spec provisioner.Spec, given []byte, observe provisioner.Observer) error {
	const op = "destroy environment"
	unlock, err := d.take(ctx, op, spec)
	if err != nil {
		return err
	}
	defer unlock()
	dir := d.workdir(spec.Owner.Environment)
	states, err := chooseStates(given, dir, func(sentence string) {
		tellWarning(observe, "destroy", sentence)
		d.log.Warn("state refused", "environment", spec.Owner.Environment, "cause", sentence)
	})
	if err != nil {
		return fileError(op, err)
	}
	for _, s := range states {
		if s.resources() == 0 {
			continue
		}
		if err := d.destroyState(ctx, spec, s, observe); err != nil {
			return err
		}
	}
	if err := removeAny(dir); err != nil {
		return fileError(op, err)
	}
	return nil
}

func (d *Driver) destroyState(ctx context.Context, spec provisioner.Spec, s *state, observe provisioner.Observer) error {
	const op = "destroy environment"
	t, err := d.templateToDestroy(ctx, spec.Blueprint)
	if err != nil {
		return err
	}
	dir := d.workdir(spec.Owner.Environment)
	if err := d.fillWorkdir(dir, t, spec); err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(dir, stateFile), s.raw, 0o600); err != nil {
		return fileError(op, err)
	}
	for _, name := range []string{erroredFile, lockInfoFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fileError(op, err)
		}
	}
	tell(observe, "destroy", "%s destroys what its state knows: %d of %s@%s", t.Tool, s.resources(), spec.Blueprint.Name, spec.Blueprint.Version)
	out, err := d.run(ctx, destroy, d.jobFor(spec, t, "destroy", observe), spec, t.Providers)
	if err != nil {
		return d.failure(ctx, op, out, err, applyPatterns)
	}
	return nil
}
