package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// cleanAll removes what earlier demos left, and their logs. It leaves running demos alone and names them.
func cleanAll(ctx context.Context, n *narrator) error {
	home, err := home()
	if err != nil {
		return complain(n, err)
	}
	dirs, err := earlier(home)
	if err != nil {
		return complain(n, err)
	}
	var failed error
	for _, dir := range dirs {
		if err := context.Cause(ctx); err != nil {
			return complain(n, errors.Join(failed, err))
		}
		if err := cleanRun(ctx, n, dir); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	if failed != nil {
		return complain(n, failed)
	}
	if err := os.Remove(home); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return complain(n, fmt.Errorf("remove the demos' directory: %w", err))
	}
	if len(dirs) == 0 {
		n.Say("no demo left anything")
	} else {
		n.Good(plural(len(dirs), "demo") + " cleaned up; nothing of them is left")
	}
	return nil
}

func cleanRun(ctx context.Context, n *narrator, dir string) error {
	r, err := openRun(dir)
	switch {
	case r == nil && errors.Is(err, errAtWork):
		return fmt.Errorf("%w; stop it first", err)
	case r == nil:
		return err
	case err == nil:
		n.Say("an earlier demo did not clean up: %s", r.Temp)
		bin, err := findBinaries()
		if err != nil {
			n.Say("%v; removing leftovers by their label alone", err)
		}
		s, err := newStage(n, r, bin)
		if err == nil {
			// Ctrl-C does not interrupt one demo's cleanup, only the sequence.
			err = s.clearAway(context.WithoutCancel(ctx))
		}
		if err != nil {
			return errors.Join(err, r.lock.Close())
		}
	case !errors.Is(err, fs.ErrNotExist):
		return errors.Join(err, r.lock.Close())
	}
	if err := errors.Join(os.RemoveAll(dir), r.lock.Close()); err != nil {
		return fmt.Errorf("remove the logs of an earlier demo: %w", err)
	}
	return nil
}

// complain prints an error, one line per cause, and returns it.
func complain(n *narrator, err error) error {
	for line := range strings.Lines(err.Error()) {
		n.Bad("demo: " + strings.TrimSpace(line))
	}
	return err
}
