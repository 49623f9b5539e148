package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// stage is what a demo plays on, and how it is cleared away.
type stage struct {
	say    *narrator
	run    *run
	bin    string   // folder of bothy and bothyd
	dir    string   // that commands run in
	env    []string // of commands
	api    api
	engine engine
	daemon *daemon // nil before the start, and after the end
	// empty says that the daemon ended in order, after every environment was gone.
	empty bool
}

func newStage(n *narrator, r *run, bin string) (*stage, error) {
	e, err := newEngine(r.Engine)
	if err != nil {
		return nil, err
	}
	return &stage{
		say: n, run: r, bin: bin, dir: r.Temp,
		env: commandEnv(os.Environ(), r), api: newAPI(r.socket()), engine: e,
	}, nil
}

const (
	downWithin  = 3 * time.Minute
	sweepWithin = time.Minute
)

// clearAway takes away all that the run made, whatever state it is in: environments by the daemon, which is
// started again if it has died; then the daemon; then what still has its label at Docker; then its folder.
// When something may be left all the same, the record stays for --clean.
func (s *stage) clearAway(ctx context.Context) error {
	err := s.takeDown(ctx)
	if e := s.stopDaemon(ctx); e != nil {
		err = errors.Join(err, e)
	}
	if s.run.Instance != "" {
		ctx, cancel := context.WithTimeout(ctx, sweepWithin)
		defer cancel()
		found, e := sweep(ctx, s.engine, s.run.Instance)
		if e != nil {
			return errors.Join(err, e)
		}
		if len(found) > 0 {
			s.say.Bad("removed at Docker, where bothyd had left it: " + strings.Join(found, ", "))
		}
	}
	if _, e := os.Stat(s.run.Temp); e == nil {
		if e := removeTree(s.run.Temp); e != nil {
			return errors.Join(err, fmt.Errorf("remove the temporary folder: %w", e))
		}
		s.say.Say("removed %s", s.run.Temp)
	}
	return errors.Join(err, s.run.forget())
}

// takeDown gives all environments back. There is nothing to do when no daemon ever ran.
func (s *stage) takeDown(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, downWithin, fmt.Errorf("the environments were not gone within %s", downWithin))
	defer cancel()
	if s.empty {
		return nil
	}
	if s.daemon == nil || !s.daemon.alive() {
		if _, err := os.Stat(filepath.Join(s.run.state(), "bothy.db")); err != nil {
			return nil //nolint:nilerr // no database: nothing was ever made
		}
		d, err := adopt(s.run.state())
		if err != nil {
			return err
		}
		if s.daemon = d; d != nil {
			s.say.Say("bothyd of that demo still runs: process %d", d.pid)
		} else {
			s.say.Say("bothyd is started again, to take away what it made")
			if err := s.startDaemon(ctx); err != nil {
				return err
			}
		}
	}
	if s.run.Instance == "" {
		return nil // it never got ready, so nothing was asked of it
	}
	s.dir = s.run.Temp // a project may not be there yet
	names, err := s.do(ctx, command{argv: []string{"bothy", "ls", "--all-tenants", "--quiet"}, silent: true})
	if err != nil || strings.TrimSpace(names) == "" {
		return err
	}
	_, err = s.bothy(ctx, "down", "--all-tenants", "--yes", "--as-platform", "end of the demo")
	return err
}

// stopDaemon ends the daemon, if there is one.
func (s *stage) stopDaemon(ctx context.Context) error {
	if s.daemon == nil || !s.daemon.alive() {
		s.daemon = nil
		return nil
	}
	s.say.Command(fmt.Sprintf("kill %d    # bothyd", s.daemon.pid))
	err := s.daemon.stop(context.WithoutCancel(ctx)) // whatever happens, it gets its time
	s.daemon = nil
	return err
}

// mayGuard makes sure that bothyd may set firewall rules around sandboxes, which takes root. Where that cannot be had
// the demo goes on without them, and says so.
func (s *stage) mayGuard(ctx context.Context) error {
	if os.Geteuid() == 0 || exec.CommandContext(ctx, "sudo", "-n", "true").Run() == nil {
		return nil
	}
	if isTerminal(os.Stdin) {
		s.say.Say("bothyd sets firewall rules around sandboxes, and needs root for that alone:")
		s.say.Command("sudo -v")
		ask := exec.CommandContext(ctx, "sudo", "-v")
		ask.Stdin, ask.Stdout, ask.Stderr = os.Stdin, os.Stdout, os.Stderr
		if ask.Run() == nil && exec.CommandContext(ctx, "sudo", "-n", "true").Run() == nil {
			return nil
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	s.say.Bad("without root there are no firewall rules: in this demo sandboxes reach what this machine reaches")
	s.run.Flags = []string{"--network-isolation", "off"}
	return s.run.save()
}

// removeTree is os.RemoveAll for a tree that holds folders which may not be written to, as Terraform's templates
// are: only root may empty those as they stand.
func removeTree(dir string) error {
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(dir))
}
