package confine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// Box is one program and all that it may use.
type Box struct {
	// Path is the program's, absolute, Args what it is called with, its name not among them.
	Path string
	Args []string
	// Dir is where it runs; "" is the root of the box.
	Dir string
	// Env is its whole environment.
	Env []string
	// Read are the files, folders and sockets that it may read or connect to, Write the folders that it may
	// change. Missing ones of Read are left out. The program itself and the system's libraries are always readable.
	Read, Write []string
	// Network returns it the machine's network.
	Network bool
	Bounds  Bounds
	// Stdout and Stderr take what it prints; nil discards.
	Stdout, Stderr io.Writer
}

// ExitError is how a program ended that did not succeed.
type ExitError struct {
	// Code is its exit code; -1 when a signal ended it.
	Code int
	// Signal is that signal, or 0.
	Signal syscall.Signal
	// Stderr is the beginning and the end of what it printed there.
	Stderr []byte
}

func (e *ExitError) Error() string {
	if e.Signal != 0 {
		return "signal: " + e.Signal.String()
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// StartError says that a program, or its box, could not be started.
type StartError struct{ Err error }

func (e *StartError) Error() string { return e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }

// Process is a running program.
type Process struct {
	box    Box
	mode   Mode
	cmd    *exec.Cmd
	inner  *os.Process // the program itself, where cmd is its box
	group  *group
	meter  *meter
	stderr excerpt
	killed atomic.Bool // by us
	bound  chan struct{}
	exited chan struct{}
	err    error
}

// Start starts a program. The kernel kills it, and all in its box, when the daemon ends.
func (c *Confiner) Start(ctx context.Context, b Box) (*Process, error) {
	if err := c.Allowed(ctx); err != nil {
		return nil, &StartError{err}
	}
	p := &Process{box: b, mode: c.way.mode, bound: make(chan struct{}), exited: make(chan struct{})}
	p.meter = &meter{limit: b.Bounds.Output, full: p.Kill}
	var err error
	if p.group, err = c.groups.make(b.Bounds); err != nil {
		c.log.Warn("a program runs without a cgroup of its own", "cause", err)
	}
	started := make(chan error, 1)
	go c.live(p, started)
	err = <-started
	if err == nil && p.mode != Bubblewrap {
		// It runs already, for less than it takes a Terraform to come to its first blueprint. (In bubblewrap it waits.)
		err = p.bind(p.cmd.Process.Pid)
		close(p.bound)
		if err != nil {
			p.Kill()
			<-p.exited
		}
	}
	if err != nil {
		return nil, &StartError{errors.Join(err, p.group.remove())}
	}
	return p, nil
}

// live is the thread that starts a program and waits for it. The kernel kills the program when the thread that
// started it ends, so it is the program's own; it is never unlocked, since Landlock never lifts a restriction.
func (c *Confiner) live(p *Process, started chan<- error) {
	runtime.LockOSThread()
	if err := c.launch(p); err != nil {
		started <- err
		return
	}
	started <- nil
	ended := p.cmd.Wait()
	go func() { // on a thread that may read the facts about it
		defer close(p.exited)
		if p.mode != Bubblewrap {
			<-p.bound // it may have ended before
		}
		p.err = p.verdict(ended)
		if err := p.group.remove(); err != nil {
			c.log.Warn("a cgroup stays behind", "cause", err)
		}
	}()
}

// launch starts the program, in bubblewrap already under its bounds.
func (c *Confiner) launch(p *Process) error {
	if p.mode == Bubblewrap {
		return c.launchBubblewrap(p)
	}
	p.cmd = p.command(p.box.Path, p.box.Args...)
	p.cmd.Dir = p.box.Dir
	if p.mode == Landlock {
		if err := c.restrictThread(p); err != nil {
			return err
		}
	}
	return p.cmd.Start()
}

func (p *Process) command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Env = p.box.Env
	cmd.Stdout = &stream{m: p.meter, to: p.box.Stdout}
	cmd.Stderr = &stream{m: p.meter, to: p.box.Stderr, keep: &p.stderr}
	// What it left behind may hold its streams open; that is not waited for.
	cmd.WaitDelay = time.Second
	dieWithUs(cmd)
	return cmd
}

// bind puts a process under the bounds.
func (p *Process) bind(pid int) error {
	if err := setLimits(pid, p.box.Bounds, p.group, p.mode == Bubblewrap); err != nil {
		return fmt.Errorf("set resource limits: %w", err)
	}
	if err := p.group.add(pid); err != nil {
		return fmt.Errorf("put into cgroup: %w", err)
	}
	return nil
}

// Exited is closed when it has ended, and everything of its box with it.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Wait waits for its end and tells how that was: nil, an *ExitError, or a *BoundError.
func (p *Process) Wait() error {
	<-p.exited
	return p.err
}

// Interrupt asks the program, and not its box, to end.
func (p *Process) Interrupt() { p.signal(os.Interrupt) }

// Kill ends it at once, with all that is in its box.
func (p *Process) Kill() {
	p.killed.Store(true)
	p.signal(os.Kill)
}

func (p *Process) signal(s os.Signal) {
	// An error says that it has ended already.
	if p.inner != nil {
		// The first process of its namespace: the kernel ends the others with it, and bubblewrap follows.
		_ = p.inner.Signal(s)
	} else {
		_ = p.cmd.Process.Signal(s)
	}
}

// Run starts a program and waits until nothing of it is left. When ctx ends it is interrupted, and killed once
// grace has passed; the error then is the cause of that.
func (c *Confiner) Run(ctx context.Context, b Box, grace time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p, err := c.Start(ctx, b)
	if err != nil {
		return err
	}
	select {
	case <-p.exited:
		return p.err
	case <-ctx.Done():
	}
	p.Interrupt()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		p.Kill()
		<-p.exited
	}
	return errors.Join(context.Cause(ctx), p.err)
}

// boxFailed is how bubblewrap says that it could not make the box.
var boxFailed = regexp.MustCompile(`(?m)^bwrap: (.*)$`)

// verdict makes what Wait tells into what happened.
func (p *Process) verdict(err error) error {
	p.meter.mu.Lock()
	over := p.meter.over
	p.meter.mu.Unlock()
	if over {
		return p.box.Bounds.exceeded("output")
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		return nil // it succeeded; somebody else holds its streams
	}
	var exit *exec.ExitError
	if err == nil || !errors.As(err, &exit) {
		return err
	}
	said := p.stderr.text()
	if bound := p.group.exceeded(); bound != "" {
		return p.box.Bounds.exceeded(bound)
	}
	for _, words := range lastWords {
		if words.says.Match(said) {
			return p.box.Bounds.exceeded(words.bound)
		}
	}
	e := &ExitError{Code: exit.ExitCode(), Stderr: said}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		e.Signal = status.Signal()
	}
	if p.mode == Bubblewrap && e.Code > 128 { // so bubblewrap tells a signal
		e.Code, e.Signal = -1, syscall.Signal(e.Code-128)
	}
	// Those that it waited for, its children and a box's program, are counted in. The kernel counts ticks for its limit
	// and tells something finer here, which on a busy machine is less; a kill that is nobody else's is its own.
	least := p.box.Bounds.CPU * 9 / 10
	if e.Signal == syscall.SIGKILL && !p.killed.Load() {
		least /= 2
	}
	if used := exit.SystemTime() + exit.UserTime(); least > 0 && used >= least {
		return p.box.Bounds.exceeded("cpu")
	}
	if m := boxFailed.FindSubmatch(said); p.mode == Bubblewrap && m != nil && e.Code == 1 {
		return &StartError{fmt.Errorf("its box could not be made: %s", m[1])}
	}
	return e
}

func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}
