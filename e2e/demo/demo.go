package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

var errPromise = errors.New("a promise did not hold: see the table")

// runDemo plays the demo and cleans up, also after a failure or an interrupt.
func runDemo(ctx context.Context, n *narrator) error {
	bin, err := findBinaries()
	if err != nil {
		return complain(n, err)
	}
	if _, err := newEngine(engineHost()); err != nil { // before anything is made
		return complain(n, err)
	}
	home, err := home()
	if err != nil {
		return complain(n, err)
	}
	if err := dropOldLogs(home, n); err != nil {
		return complain(n, err)
	}
	r, err := beginRun(home, tempFolder(), engineHost(), time.Now())
	if err != nil {
		return complain(n, err)
	}
	log, err := os.OpenFile(r.outputLog(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return complain(n, fmt.Errorf("open the demo's log: %w", err))
	}
	n.logTo(log)
	n.Say("bothy's main job on real input: a Debian package from source to .deb, in an environment")
	n.Say("that Terraform creates on Docker, on a lease, priced to the second, and gone without a trace.")

	s, err := newStage(n, r, bin)
	if err != nil {
		return complain(n, err)
	}
	f, err := s.tell(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause // whatever the result
	}
	if err != nil {
		// Report before the cleanup, which takes a while. The signal's own line is printed already.
		if !errors.As(err, new(interrupted)) {
			_ = complain(n, err)
		}
		n.Chapter("Cleaning up")
	}
	// untilInterrupted handles interrupts of the cleanup.
	if e := s.clearAway(context.WithoutCancel(ctx)); e != nil {
		err = errors.Join(err, complain(n, e))
		if _, e := os.Stat(filepath.Join(r.dir, recordName)); e == nil {
			n.Say("remove possible leftovers with: make demo-clean")
		}
	}
	if err == nil {
		err = conclude(ctx, n, f)
	}
	if err != nil {
		n.Say("demo's log:    %s", r.outputLog())
		n.Say("bothyd's log:  %s", r.daemonLog())
	}
	n.logTo(io.Discard)
	if e := errors.Join(log.Close(), r.lock.Close()); e != nil {
		return errors.Join(err, fmt.Errorf("close the demo's files: %w", e))
	}
	return err
}

// conclude prints the table, and returns the verdict.
func conclude(ctx context.Context, n *narrator, f found) error {
	rows := f.report()
	n.Chapter("The figures, " + elapsed(n.Elapsed()) + " in all")
	var err error
	for i, line := range table(rows) {
		if rows[i].failed {
			err = errPromise
			n.Bad(line)
		} else {
			n.Say("%s", line)
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// dropOldLogs removes the logs of runs that have cleaned up, and names runs that have not.
func dropOldLogs(home string, n *narrator) error {
	dirs, err := earlier(home)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		r, err := openRun(dir)
		switch {
		case r == nil && errors.Is(err, errAtWork):
			continue // in another terminal
		case r == nil:
			return err
		case errors.Is(err, fs.ErrNotExist):
			err = os.RemoveAll(dir)
		case err == nil:
			n.Say("an earlier demo could not clean up; make demo-clean does it: %s", r.Temp)
		}
		if err = errors.Join(err, r.lock.Close()); err != nil {
			return fmt.Errorf("tidy the demos' directory: %w", err)
		}
	}
	return nil
}
