package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// daemon is a running bothyd: a child, or one that an earlier demo left.
type daemon struct {
	pid int
	// done is closed when it has ended; err is then its result. For one that is not a child: when its lock is free.
	done chan struct{}
	err  error
}

const (
	readyWithin = 30 * time.Second
	// stopWithin is more than the 90 s that the daemon allows running Terraform.
	stopWithin = 100 * time.Second
	poll       = 100 * time.Millisecond
)

// arguments is the daemon's command line.
func (r *run) arguments() []string {
	return append([]string{"bothyd", "--state-dir", r.state(), "--listen-unix", r.socket(), "--log-format", "text"}, r.Flags...)
}

// startDaemon starts bothyd and waits until it is ready. Its log goes to the run's directory.
func (s *stage) startDaemon(ctx context.Context) (err error) {
	log, err := os.OpenFile(s.run.daemonLog(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open bothyd's log: %w", err)
	}
	defer func() { err = errors.Join(err, log.Close()) }() // the daemon has its own copy
	argv := s.run.arguments()
	s.say.Command(commandLine(argv) + " &")
	// Not bound to ctx: it is still needed after Ctrl-C, to delete the environments.
	cmd := exec.Command(s.path(argv[0]), argv[1:]...) //nolint:gosec // our own daemon
	cmd.Dir, cmd.Env = s.run.Temp, daemonEnv(os.Environ(), s.run)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // keeps Ctrl-C in the terminal from it
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start bothyd: %w", err)
	}
	d := &daemon{pid: cmd.Process.Pid, done: make(chan struct{})}
	s.daemon = d
	go func() {
		d.err = cmd.Wait()
		close(d.done)
	}()
	return s.awaitReady(ctx)
}

// awaitReady waits until the daemon reports that it is ready, and records its instance id.
func (s *stage) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyWithin, fmt.Errorf("bothyd was not ready within %s", readyWithin))
	defer cancel()
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		var health wire.Health
		err := s.api.get(ctx, "/readyz", &health)
		if err == nil && health.Ready {
			break
		}
		select {
		case <-s.daemon.done:
			return s.daemon.ended()
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), s.complaints(context.WithoutCancel(ctx)))
		case <-ticker.C:
		}
	}
	v, err := s.api.version(ctx)
	if err != nil {
		return err
	}
	s.run.Instance = v.Instance
	return s.run.save()
}

// complaints are the daemon's own failed checks; nil without any.
func (s *stage) complaints(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	health, err := s.api.doctor(ctx)
	for _, c := range health.Checks {
		if c.Status == "failed" {
			err = errors.Join(err, fmt.Errorf("bothyd says: %s: %s; %s", c.Name, c.Message, c.Hint))
		}
	}
	return err
}

// ended is the error of a daemon that ended unexpectedly.
func (d *daemon) ended() error {
	if d.err == nil {
		return errors.New("bothyd ended by itself")
	}
	return fmt.Errorf("bothyd ended by itself: %w", d.err)
}

func (d *daemon) alive() bool {
	select {
	case <-d.done:
		return false
	default:
		return true
	}
}

// stop sends SIGTERM and waits; after stopWithin it kills. An unclean exit is an error.
func (d *daemon) stop(ctx context.Context) error {
	if !d.alive() {
		return nil
	}
	if err := syscall.Kill(d.pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop bothyd: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	select {
	case <-d.done:
		return stopped(d.err)
	case <-ctx.Done():
		err := fmt.Errorf("stop bothyd: it ignored SIGTERM and was killed: %w", ctx.Err())
		return errors.Join(err, syscall.Kill(d.pid, syscall.SIGKILL))
	}
}

// stopped judges how a daemon ended after SIGTERM. A signal that arrives before the daemon handles signals ends it directly, which is
// fine.
func stopped(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if by, ok := exit.Sys().(syscall.WaitStatus); ok && by.Signaled() && by.Signal() == syscall.SIGTERM {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("stop bothyd: %w", err)
	}
	return nil
}

// adopt finds the daemon that an earlier run left behind; nil if it has ended. The process that holds the lock on the run's state
// directory is that daemon; the lock has its process id.
func adopt(state string) (*daemon, error) {
	f, err := os.OpenFile(filepath.Join(state, "bothyd.lock"), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for the daemon: %w", err)
	}
	if free(f) {
		return nil, f.Close()
	}
	data, err := os.ReadFile(f.Name())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("look for the daemon: %w", err), f.Close())
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 {
		return nil, errors.Join(fmt.Errorf("look for the daemon: its lock says %q, not a process", data), f.Close())
	}
	d := &daemon{pid: pid, done: make(chan struct{})}
	go func() {
		defer close(d.done)
		defer f.Close() //nolint:errcheck // only looked at
		for !free(f) {
			time.Sleep(poll) // no event reports the release of another process's lock
		}
	}()
	return d, nil
}

func free(f *os.File) bool {
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return false
	}
	return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) == nil
}

// daemonEnv is the daemon's environment: the settings of this machine (engine, Terraform, network) stay, those of another daemon are
// dropped, and the configuration file is empty: /etc may have another daemon's database.
func daemonEnv(environ []string, r *run) []string {
	kept := []string{"BOTHY_CONFIG=" + os.DevNull}
	for _, v := range environ {
		if !strings.HasPrefix(v, "BOTHY_") || hasPrefix(v, "BOTHY_ENGINE_", "BOTHY_TERRAFORM_", "BOTHY_NETWORK_", "BOTHY_CACHE=") {
			kept = append(kept, v)
		}
	}
	return append(kept, "BOTHY_ENGINE_HOST="+r.Engine)
}

// commandEnv is the environment of bothy's commands: for this daemon, whatever the user's own settings.
func commandEnv(environ []string, r *run) []string {
	var kept []string
	for _, v := range environ {
		if !strings.HasPrefix(v, "BOTHY_") {
			kept = append(kept, v)
		}
	}
	return append(kept, "BOTHY_HOST=unix://"+r.socket())
}

func hasPrefix(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
