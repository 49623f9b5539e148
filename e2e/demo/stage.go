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

// stage is what a demo runs on, and how it is cleaned up.
type stage struct {
	say    *narrator
	run    *run
	bin    string   // directory of bothy and bothyd
	dir    string   // that commands run in
	env    []string // of commands
	api    api
	engine engine
	daemon *daemon // nil before the start, and after the end
	// empty: the daemon stopped cleanly, after every environment was gone.
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

// clearAway removes everything that the run created, in any state: environments by the daemon, which is restarted if it has died; then
// the daemon; then leftovers with its label at Docker; then its directory. If anything may still be left, the record stays for --clean.
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
			s.say.Bad("removed leftovers of bothyd at Docker: " + strings.Join(found, ", "))
		}
	}
	if _, e := os.Stat(s.run.Temp); e == nil {
		if e := removeTree(s.run.Temp); e != nil {
			return errors.Join(err, fmt.Errorf("remove the temporary directory: %w", e))
		}
		s.say.Say("removed %s", s.run.Temp)
	}
	return errors.Join(err, s.run.forget())
}

// takeDown deletes all environments. There is nothing to do if no daemon ever ran.
func (s *stage) takeDown(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, downWithin, fmt.Errorf("the environments were not gone within %s", downWithin))
	defer cancel()
	if s.empty {
		return nil
	}
	if s.daemon == nil || !s.daemon.alive() {
		if _, err := os.Stat(filepath.Join(s.run.state(), "bothy.db")); err != nil {
			return nil //nolint:nilerr // no database: nothing was ever created
		}
		d, err := adopt(s.run.state())
		if err != nil {
			return err
		}
		if s.daemon = d; d != nil {
			s.say.Say("bothyd of that demo still runs: process %d", d.pid)
		} else {
			s.say.Say("restarting bothyd, to delete what it created")
			if err := s.startDaemon(ctx); err != nil {
				return err
			}
		}
	}
	if s.run.Instance == "" {
		return nil // it was never ready, so it got no requests
	}
	s.dir = s.run.Temp // a project may not exist yet
	names, err := s.do(ctx, command{argv: []string{"bothy", "ls", "--all-tenants", "--quiet"}, silent: true})
	if err != nil || strings.TrimSpace(names) == "" {
		return err
	}
	_, err = s.bothy(ctx, "down", "--all-tenants", "--yes", "--as-platform", "end of the demo")
	return err
}

// stopDaemon stops the daemon, if there is one.
func (s *stage) stopDaemon(ctx context.Context) error {
	if s.daemon == nil || !s.daemon.alive() {
		s.daemon = nil
		return nil
	}
	s.say.Command(fmt.Sprintf("kill %d    # bothyd", s.daemon.pid))
	err := s.daemon.stop(context.WithoutCancel(ctx)) // it gets its time in any case
	s.daemon = nil
	return err
}

// mayGuard checks that bothyd may set firewall rules around sandboxes, which requires root. Otherwise the demo continues without them,
// and says so.
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

// removeTree is os.RemoveAll for a tree with read-only directories, such as Terraform's templates, which only root may empty as they are.
func removeTree(dir string) error {
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(dir))
}
