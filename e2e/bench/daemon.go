package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/bothy-env/bothy/e2e/rig"
	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
)

const (
	// patience bounds every wait: anything slower counts as broken.
	patience = 5 * time.Minute
	// stopWithin is more than the 90 s that the daemon allows running Terraform.
	stopWithin = 100 * time.Second
	pollEvery  = 20 * time.Millisecond
	// fakeDriver is the flag of a daemon with simulated environments.
	fakeDriver = "--driver=fake"
)

// daemon is a bothyd of the benchmark: state directory, socket, instance and a client.
type daemon struct {
	name, dir, bin string
	instance       string
	args           []string
	// real: it creates environments at Docker.
	real   bool
	cmd    *exec.Cmd
	exited chan struct{}
	err    error
	client *client.Client
}

// startDaemon runs bothyd with extra flags and waits until it is ready. Stop the returned daemon even if there is an error.
func startDaemon(ctx context.Context, b *bench, name string, real bool, flags ...string) (*daemon, error) {
	d := &daemon{name: name, dir: filepath.Join(b.dir, name), bin: b.bin, real: real}
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory of %s: %w", name, err)
	}
	log, err := os.Create(d.logFile())
	if err != nil {
		return nil, fmt.Errorf("make the log of %s: %w", name, err)
	}
	defer log.Close() //nolint:errcheck // the daemon has its own copy
	d.args = append([]string{"--state-dir", filepath.Join(d.dir, "state"), "--listen-unix", d.socket(), "--log-format", "text"}, flags...)
	if d.client, err = client.New(client.Options{Host: d.host()}); err != nil {
		return nil, fmt.Errorf("make a client of %s: %w", name, err)
	}
	if err := d.start(log); err != nil {
		return nil, err
	}
	err = d.awaitReady(ctx)
	return d, err
}

// start runs the process.
func (d *daemon) start(log *os.File) error {
	// Not bound to a context: it is still needed after Ctrl-C, to delete the environments.
	d.cmd = exec.Command(filepath.Join(d.bin, "bothyd"), d.args...)
	d.cmd.Env = append(rig.CleanEnv(), "BOTHY_CONFIG="+os.DevNull)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // keeps Ctrl-C in the terminal from it
	if err := d.cmd.Start(); err != nil {
		return fmt.Errorf("start bothyd (run make build first, or set BOTHY_BIN): %w", err)
	}
	d.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		d.err = cmd.Wait()
		close(exited)
	}(d.cmd, d.exited)
	return nil
}

// kill ends the process like a power failure.
func (d *daemon) kill() error {
	if err := d.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill bothyd (%s): %w", d.name, err)
	}
	<-d.exited
	return nil
}

// startAgain restarts the process and waits until it is ready.
func (d *daemon) startAgain(ctx context.Context) error {
	log, err := os.OpenFile(d.logFile(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", d.name, err)
	}
	defer log.Close() //nolint:errcheck // the daemon has its own copy
	if err := d.start(log); err != nil {
		return err
	}
	return d.awaitReady(ctx)
}

func (d *daemon) socket() string  { return filepath.Join(d.dir, "s", "bothyd.sock") }
func (d *daemon) host() string    { return "unix://" + d.socket() }
func (d *daemon) logFile() string { return filepath.Join(d.dir, "bothyd.log") }

func (d *daemon) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		version, err := d.client.Version(ctx)
		if err == nil {
			d.instance = version.Instance
			var health wire.Health
			if health, err = d.client.Health(ctx); err == nil && health.Ready {
				return nil
			}
			err = errors.Join(err, fmt.Errorf("its checks: %+v", health.Checks))
		}
		select {
		case <-d.exited:
			return fmt.Errorf("bothyd (%s) ended: %w\n%s", d.name, d.err, d.lastLog())
		case <-ctx.Done():
			return fmt.Errorf("bothyd (%s) is not ready: %w: %w", d.name, ctx.Err(), err)
		case <-time.After(pollEvery):
		}
	}
}

// lastLog returns the end of the daemon's log.
func (d *daemon) lastLog() string {
	data, err := os.ReadFile(d.logFile())
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-4000):])
}

// create requests an environment and returns when it is ready.
func (d *daemon) create(ctx context.Context) (wire.Environment, error) {
	env, _, err := d.client.Create(ctx, wire.CreateRequest{Blueprint: "build", Size: "small"}, "")
	if err != nil {
		return env, fmt.Errorf("create: %w", err)
	}
	return d.await(ctx, env, "leased")
}

// remove deletes an environment and returns when nothing of it is left.
func (d *daemon) remove(ctx context.Context, id string) error {
	env, err := d.client.Release(ctx, id)
	if err != nil {
		return fmt.Errorf("release: %w", err)
	}
	_, err = d.await(ctx, env, "destroyed")
	return err
}

var errReached = errors.New("the state was reached")

// await watches an environment until it reaches a state.
func (d *daemon) await(ctx context.Context, env wire.Environment, state string) (wire.Environment, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := d.client.Watch(ctx, env.ID, 0, func(u wire.Update) error {
		env = u.Environment
		switch {
		case env.State == state:
			return errReached
		case env.State == "failed":
			return fmt.Errorf("environment %s failed: %+v", env.Name, env.Failure)
		}
		return nil
	})
	if errors.Is(err, errReached) || err == nil && state == "destroyed" {
		return env, nil
	}
	return env, fmt.Errorf("wait until %s is %s: %w", env.Name, state, err)
}

// bothy runs the command line against this daemon.
func (d *daemon) bothy(ctx context.Context, args ...string) error {
	return runCommand(ctx, d.dir, append(rig.CleanEnv(), "BOTHY_HOST="+d.host()), filepath.Join(d.bin, "bothy"), args...)
}

// sandboxes lists the containers of an environment at Docker.
func (d *daemon) sandboxes(ctx context.Context, id string) (string, error) {
	return docker(ctx, "ps", "-aq", "--filter", "label=bothy.instance="+d.instance, "--filter", "label=bothy.environment="+id)
}

// sandboxed returns the environment of each container at Docker. Containers that keep networks have none.
func (d *daemon) sandboxed(ctx context.Context) ([]string, error) {
	found, err := docker(ctx, "ps", "-a", "--filter", "label=bothy.instance="+d.instance, "--format", `{{.Label "bothy.environment"}}`)
	return strings.Fields(found), err
}

// empty deletes every pool and environment.
func (d *daemon) empty(ctx context.Context) error {
	pools, err := d.client.Pools(ctx)
	if err != nil {
		return fmt.Errorf("list pools: %w", err)
	}
	for _, p := range pools {
		if err := d.client.RemovePool(ctx, p.Name); err != nil {
			return fmt.Errorf("remove pool %s: %w", p.Name, err)
		}
	}
	envs, err := d.client.List(ctx, client.ListOptions{})
	if err != nil {
		return fmt.Errorf("list environments: %w", err)
	}
	for _, env := range envs {
		if env.Pool != "" && !env.Claimed {
			continue // a member of the pool: removed with it
		}
		if _, err := d.client.Release(ctx, env.ID); err != nil {
			return fmt.Errorf("release: %w", err)
		}
	}
	return d.awaitEmpty(ctx)
}

// awaitEmpty returns when no environment is left.
func (d *daemon) awaitEmpty(ctx context.Context) error {
	return await(ctx, "nothing is left", func() (bool, error) {
		left, err := d.client.List(ctx, client.ListOptions{})
		return len(left) == 0, err
	})
}

// stop ends the daemon. A real daemon's environments are deleted first; anything of its instance still at Docker is reported and removed.
func (d *daemon) stop(ctx context.Context) error {
	var errs []error
	if d.real && d.instance != "" {
		errs = append(errs, d.empty(ctx))
	}
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		errs = append(errs, fmt.Errorf("stop bothyd (%s): %w", d.name, err))
	}
	select {
	case <-d.exited:
	case <-time.After(stopWithin):
		errs = append(errs, fmt.Errorf("bothyd (%s) ignored SIGTERM and was killed", d.name), d.cmd.Process.Kill())
		<-d.exited
	}
	if d.err != nil {
		errs = append(errs, fmt.Errorf("bothyd (%s) ended with %w\n%s", d.name, d.err, d.lastLog()))
	}
	if d.real && d.instance != "" {
		errs = append(errs, sweep(ctx, "bothy.instance="+d.instance, true))
	}
	return errors.Join(errs...)
}

// await polls until something is true.
func await(ctx context.Context, what string, is func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if ok, err := is(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, ctx.Err())
		case <-time.After(pollEvery):
		}
	}
}

// atOnce calls fn for 0 to n-1 at the same time and returns how long all of them took.
func atOnce(n int, fn func(int) error) (time.Duration, error) {
	var wg sync.WaitGroup
	errs := make([]error, n)
	began := time.Now()
	for i := range n {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	return time.Since(began), errors.Join(errs...)
}

// runCommand runs a program to its end and shows its output if it fails. It is interrupted when ctx ends.
func runCommand(ctx context.Context, dir string, env []string, name string, args ...string) error {
	_, err := commandOutput(ctx, dir, env, name, args...)
	return err
}

func commandOutput(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, env
	var out strings.Builder
	var errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, io.Writer(&errs)
	// One interrupt lets Terraform stop cleanly, so Ctrl-C in the terminal must not reach it a second time.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 30 * time.Second
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(name), strings.Join(args, " "), err, out.String(), errs.String())
	}
	return strings.TrimSpace(out.String()), nil
}
