package exec

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/hostproc"
)

const (
	// drainFor bounds the wait for a command's output to end after it was killed.
	drainFor = 5 * time.Second
	// endFor is how long the engine may take to note the end of a command whose output it has ended.
	endFor = 3 * time.Second
	// startFor bounds the wait for the process id of a command that is to be killed while it starts.
	startFor = 3 * time.Second
)

// Exec runs a command inside and returns its exit code (128+n when signal n ended it).
//
// When ctx ends, or reading Stdin or writing the output fails, every process of the command's session is killed
// (not what moved itself to a session of its own, as daemons do: that ends with the sandbox) and an error of
// class Cancelled is returned. The image needs /bin/sh. After Exec returned nothing is written any more, but a
// Read of Stdin that was waiting may still take one piece of input.
func (r *Runner) Exec(ctx context.Context, id string, req provisioner.ExecRequest, streams provisioner.Streams) (int, error) {
	if err := checkExec(req); err != nil {
		return 0, err
	}
	if err := engine.CheckID(engine.OpExec, id); err != nil {
		return 0, err
	}
	if n := r.left.count(id); n >= mostLingering {
		return 0, provisioner.Errorf(provisioner.Quota, engine.OpExec, "%d commands whose callers left have not ended yet in the sandbox", n)
	}
	who, err := r.identify(ctx, id, req.User)
	if err != nil {
		return 0, err
	}
	code := 0
	err = retried(func(wasFull bool) (err error) {
		code, err = r.execOnce(ctx, id, who, req, streams, wasFull)
		return err
	})
	return code, err
}

// execOnce is Exec, but that a command which was not begun because the sandbox is full is not tried again.
func (r *Runner) execOnce(ctx context.Context, id string, who identity, req provisioner.ExecRequest, streams provisioner.Streams, wasFull bool) (int, error) {
	began, err := r.begin(ctx, id, wasFull)
	if err != nil {
		return 0, err
	}
	opts, err := r.wrap(who, req, streams.Stdin != nil)
	if err != nil {
		began.done()
		return 0, err
	}
	execID, err := r.createExec(ctx, id, who, opts)
	if err != nil {
		began.done()
		return 0, r.unstarted(ctx, id, req, err)
	}
	conn, err := r.attachExec(ctx, execID, container.ExecAttachOptions{Tty: req.TTY, ConsoleSize: opts.ConsoleSize})
	if err != nil {
		r.leave(began, id, execID)
		return 0, r.unstarted(ctx, id, req, err)
	}
	s := newSession(r, id, execID, req, streams, conn)
	s.who, s.began = who.user, began
	defer func() {
		if !s.lingers {
			s.conn.Close()
		}
	}()
	return s.run(ctx)
}

// createExec registers a command with the engine; it does not run yet. It runs by numbers, and begins in the root folder.
func (r *Runner) createExec(ctx context.Context, id string, who identity, opts container.ExecOptions) (string, error) {
	opts.User, opts.WorkingDir = who.user, "/"
	opts.Env = below(opts.Env, who.vars)
	cctx, cancel := r.engine.Call(ctx)
	defer cancel()
	for {
		created, err := r.engine.API.ContainerExecCreate(cctx, id, opts)
		if err == nil {
			return created.ID, nil
		}
		if cctx.Err() != nil && canWake(r.engine) {
			// A newer engine looks the user up already here, so it may wait for a pipe in place of an account file; see starts.
			go hostproc.Wake(id)
		}
		err = r.engine.Fail(ctx, engine.OpExec, err)
		if !provisioner.Is(err, provisioner.Conflict) {
			return "", err
		}
		if !r.sandboxes.Lags(ctx, id, true) {
			return "", provisioner.Errorf(provisioner.Conflict, engine.OpExec, "the sandbox is not running: %s", provisioner.Sentence(err))
		}
	}
}

// attachExec starts a registered command. It is not cut short by ctx: a
// command whose start was cancelled half-way could run on unseen.
func (r *Runner) attachExec(ctx context.Context, execID string, opts container.ExecAttachOptions) (types.HijackedResponse, error) {
	if err := ctx.Err(); err != nil {
		return types.HijackedResponse{}, r.engine.Fail(ctx, engine.OpExec, err)
	}
	return r.attach(context.WithoutCancel(ctx), execID, opts)
}

// attach starts a registered command and returns its connection. When ctx ends first, the command may have
// started; its stdin is then closed.
func (r *Runner) attach(ctx context.Context, execID string, opts container.ExecAttachOptions) (types.HijackedResponse, error) {
	conn, err := r.engine.Attach(ctx, execID, opts)
	if err == nil {
		return conn, nil
	}
	switch msg := err.Error(); {
	case strings.Contains(msg, "received 404"):
		return conn, provisioner.Errorf(provisioner.NotFound, engine.OpExec, "the sandbox went away before the command began")
	case strings.Contains(msg, "received 409"):
		return conn, provisioner.Errorf(provisioner.Conflict, engine.OpExec, "the sandbox is not running")
	}
	return conn, r.engine.Fail(ctx, engine.OpExec, err)
}

// session is one running command.
type session struct {
	r            *Runner
	id, execID   string
	who          string // as whom it runs, "uid:gid"
	began        *start
	unstarted    chan struct{} // closed when the engine takes too long to start it
	lingers      bool          // it is ended later, and its connection kept until then
	word         atomic.Int32
	req          provisioner.ExecRequest
	streams      provisioner.Streams
	conn         types.HijackedResponse
	stdout       *preamble
	out, errs    *gate
	outputEnded  chan struct{} // closed after outputErr is set
	outputErr    error
	stdinTrouble chan error
}

func newSession(r *Runner, id, execID string, req provisioner.ExecRequest, streams provisioner.Streams, conn types.HijackedResponse) *session {
	s := &session{
		r: r, id: id, execID: execID, req: req, streams: streams, conn: conn,
		out: newGate(streams.Stdout), errs: newGate(streams.Stderr),
		outputEnded: make(chan struct{}), unstarted: make(chan struct{}), stdinTrouble: make(chan error, 1),
	}
	s.stdout = newPreamble(s.out)
	s.stdout.started = func() { s.began.done() }
	return s
}

// run drives the streams to the command's end.
func (s *session) run(ctx context.Context) (int, error) {
	side, stop := context.WithCancel(ctx)
	defer stop()
	go s.copyOutput()
	if s.streams.Stdin != nil || !s.req.TTY {
		go s.copyInput(side)
	}
	go s.control(side)

	// What a sandbox puts in the engine's way must not keep a caller for ever.
	late := time.AfterFunc(s.r.engine.Timeout, func() {
		select {
		case <-s.stdout.decided:
		default:
			close(s.unstarted)
		}
	})
	defer late.Stop()

	select {
	case <-s.unstarted:
		return 0, s.abort(ctx, &provisioner.Error{Class: provisioner.Transient, Op: engine.OpExec, Unavailable: true,
			Sentence: "the Docker engine did not start the command within " + s.r.engine.Timeout.String()})
	case <-s.outputEnded:
		if s.outputErr != nil {
			return 0, s.abort(ctx, s.r.engine.Fail(ctx, engine.OpExec, s.outputErr))
		}
	case err := <-s.out.failed:
		return 0, s.abort(ctx, callerFault("output could not be written", err))
	case err := <-s.errs.failed:
		return 0, s.abort(ctx, callerFault("output could not be written", err))
	case err := <-s.stdinTrouble:
		return 0, s.abort(ctx, callerFault("input broke off", err))
	case <-ctx.Done():
		return 0, s.abort(ctx, s.r.engine.Fail(ctx, engine.OpExec, ctx.Err()))
	}
	code, err := s.exitCode(ctx)
	if provisioner.Is(err, provisioner.Cancelled) || errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, s.abort(ctx, err)
	}
	if err != nil {
		return 0, err
	}
	if failed := s.stdout.finish(code); failed != "" {
		return 0, s.r.StartFailure(ctx, s.id, failed, s.req)
	}
	if s.stdout.pid == 0 && code != 0 && !s.stdout.wrote {
		if err := s.r.limits.Full(ctx, s.id); err != nil {
			return 0, err // it ended before its first line, for lack of room
		}
	}
	if err := errors.Join(s.out.fault(), s.errs.fault()); err != nil {
		return 0, callerFault("output could not be written", err)
	}
	return code, nil
}

// callerFault is a stream of the caller that failed: to the sandbox as good as a cancel.
func callerFault(what string, err error) error {
	return &provisioner.Error{Class: provisioner.Cancelled, Op: engine.OpExec, Sentence: "the " + what + ": " + err.Error(), Err: err}
}

// leaveLost gives up the start of a command whose connection broke before it was seen to start: the engine may still be at it.
func (s *session) leaveLost() {
	select {
	case <-s.stdout.decided:
		if s.stdout.lost {
			s.r.leave(s.began, s.id, s.execID)
		}
	default:
	}
}

// exitCode asks for the code of a command whose output has ended. The engine ends it when the command is over, so
// one that runs on has lost its connection, and a part of its output with it: that must not look like its end.
func (s *session) exitCode(ctx context.Context) (int, error) {
	wait := 2 * time.Millisecond
	for waited := time.Duration(0); ; waited += wait {
		cctx, cancel := s.r.engine.Call(ctx)
		st, err := s.r.engine.API.ContainerExecInspect(cctx, s.execID)
		cancel()
		if err != nil {
			err = s.r.engine.Fail(ctx, engine.OpExec, err)
			if provisioner.Is(err, provisioner.NotFound) {
				return 0, provisioner.Errorf(provisioner.NotFound, engine.OpExec, "the sandbox went away while the command ran")
			}
			return 0, err
		}
		if !st.Running {
			return st.ExitCode, nil
		}
		if waited > endFor {
			return 0, &provisioner.Error{Class: provisioner.Transient, Op: engine.OpExec, Unavailable: true,
				Sentence: "the connection to the command was lost while it ran", Err: io.ErrUnexpectedEOF}
		}
		select {
		case <-ctx.Done():
			return 0, s.r.engine.Fail(ctx, engine.OpExec, ctx.Err())
		case <-time.After(wait):
		}
		wait = min(wait*2, 250*time.Millisecond)
	}
}

// abort ends the command and everything in its session, lets its output run
// dry, and returns why, with what could not be done.
func (s *session) abort(ctx context.Context, why error) error {
	s.out.shut()
	s.errs.shut()
	if !s.req.TTY && s.word.CompareAndSwap(unsaid, withheld) {
		select {
		case <-s.stdout.decided: // it waits for the word, or has failed
		default:
			s.r.leave(s.began, s.id, s.execID)
		}
		s.leaveLost()
		return why // it has not begun, and never will
	}
	kctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.r.engine.Timeout)
	defer cancel()
	killErr := s.kill(kctx)
	s.leaveLost()
	if killErr == nil {
		select {
		case <-s.outputEnded:
		case <-time.After(drainFor): // a writer of the caller that never returns
		}
		return why
	}
	if provisioner.Is(killErr, provisioner.NotFound) || provisioner.Is(killErr, provisioner.Conflict) {
		return why // the sandbox is gone or has stopped, and the command with it
	}
	s.lingers = true
	s.r.linger(s)
	return &provisioner.Error{
		Class: provisioner.ClassOf(why), Op: engine.OpExec, Unavailable: provisioner.IsUnavailable(why), Err: errors.Join(why, killErr, provisioner.ErrStillRuns),
		Sentence: provisioner.Sentence(why) + "; the command still runs, bothy retries until it has ended: " + provisioner.Sentence(killErr),
	}
}
