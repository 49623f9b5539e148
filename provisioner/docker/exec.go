package docker

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
)

const (
	// opExec is the operation named in errors of Exec.
	opExec = "run command"
	// wrapper tells the command's process id on the first line of its output and
	// then becomes the command: Docker can start an exec but neither signal nor
	// end it. An exec is the leader of its own session, so the id is the group's and the session's too.
	wrapper = `echo "` + pidMark + `$$"; exec "$@"`
	pidMark = "bothy-exec-pid "
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
func (r *Runtime) Exec(ctx context.Context, id string, req provisioner.ExecRequest, streams provisioner.Streams) (int, error) {
	if err := checkExec(req); err != nil {
		return 0, err
	}
	execID, err := r.createExec(ctx, id, container.ExecOptions{
		User: req.User, WorkingDir: req.Dir, Env: req.Env, Tty: req.TTY,
		AttachStdin: streams.Stdin != nil, AttachStdout: true, AttachStderr: true,
		Cmd: append([]string{"/bin/sh", "-c", wrapper, "sh"}, req.Command...),
	})
	if err != nil {
		return 0, err
	}
	conn, err := r.attachExec(ctx, execID, req.TTY)
	if err != nil {
		return 0, err
	}
	s := newSession(r, id, execID, req, streams, conn)
	defer s.conn.Close()
	return s.run(ctx)
}

// checkExec refuses what cannot be a command.
func checkExec(req provisioner.ExecRequest) error {
	bad := func(format string, args ...any) error {
		return provisioner.Errorf(provisioner.Permanent, opExec, format, args...)
	}
	if len(req.Command) == 0 || req.Command[0] == "" {
		return bad("the command is empty")
	}
	if strings.HasPrefix(req.Command[0], "-") {
		return bad("the command %q begins with a dash; give a path", req.Command[0])
	}
	for _, s := range append([]string{req.User, req.Dir}, req.Command...) {
		if strings.ContainsRune(s, 0) {
			return bad("%q holds a NUL byte", s)
		}
	}
	for _, kv := range req.Env {
		if name, _, ok := strings.Cut(kv, "="); !ok || name == "" || strings.ContainsRune(kv, 0) {
			return bad("the variable %q is not NAME=value", kv)
		}
	}
	return nil
}

// createExec registers a command with the engine; it does not run yet.
func (r *Runtime) createExec(ctx context.Context, id string, opts container.ExecOptions) (string, error) {
	cctx, cancel := r.call(ctx)
	defer cancel()
	for {
		created, err := r.api.ContainerExecCreate(cctx, id, opts)
		if err == nil {
			return created.ID, nil
		}
		err = r.fail(ctx, opExec, err)
		if !provisioner.Is(err, provisioner.Conflict) {
			return "", err
		}
		if !r.lags(ctx, id, true) {
			return "", provisioner.Errorf(provisioner.Conflict, opExec, "the sandbox is not running: %s", provisioner.Sentence(err))
		}
	}
}

// attachExec starts a registered command. It is not cut short by ctx: a
// command whose start was cancelled half-way could run on unseen.
func (r *Runtime) attachExec(ctx context.Context, execID string, tty bool) (types.HijackedResponse, error) {
	if err := ctx.Err(); err != nil {
		return types.HijackedResponse{}, r.fail(ctx, opExec, err)
	}
	return r.attach(context.WithoutCancel(ctx), execID, tty)
}

// attach starts a registered command and gives its connection. When ctx ends first, the command may have been
// started; its input is closed then.
func (r *Runtime) attach(ctx context.Context, execID string, tty bool) (types.HijackedResponse, error) {
	g := &guard{conns: make(chan net.Conn, 1)}
	actx, cancel := context.WithTimeout(context.WithValue(ctx, guardKey{}, g), r.timeout)
	defer cancel()
	onTime := context.AfterFunc(actx, g.abort)
	conn, err := r.api.ContainerExecAttach(actx, execID, container.ExecAttachOptions{Tty: tty})
	if !onTime() && err == nil {
		conn.Close() // the end came at the same moment
		err = actx.Err()
	} else if err != nil && actx.Err() != nil {
		err = actx.Err()
	}
	if err == nil {
		return conn, nil
	}
	switch msg := err.Error(); {
	case strings.Contains(msg, "received 404"):
		return conn, provisioner.Errorf(provisioner.NotFound, opExec, "the sandbox went away before the command began")
	case strings.Contains(msg, "received 409"):
		return conn, provisioner.Errorf(provisioner.Conflict, opExec, "the sandbox is not running")
	}
	return conn, r.fail(ctx, opExec, err)
}

// session is one running command.
type session struct {
	r            *Runtime
	id, execID   string
	req          provisioner.ExecRequest
	streams      provisioner.Streams
	conn         types.HijackedResponse
	stdout       *preamble
	out, errs    *gate
	outputEnded  chan struct{} // closed after outputErr is set
	outputErr    error
	stdinTrouble chan error
}

func newSession(r *Runtime, id, execID string, req provisioner.ExecRequest, streams provisioner.Streams, conn types.HijackedResponse) *session {
	s := &session{
		r: r, id: id, execID: execID, req: req, streams: streams, conn: conn,
		out: newGate(streams.Stdout), errs: newGate(streams.Stderr),
		outputEnded: make(chan struct{}), stdinTrouble: make(chan error, 1),
	}
	s.stdout = newPreamble(s.out)
	return s
}

// run drives the streams to the command's end.
func (s *session) run(ctx context.Context) (int, error) {
	side, stop := context.WithCancel(ctx)
	defer stop()
	go s.copyOutput()
	if s.streams.Stdin != nil {
		go s.copyInput(side)
	}
	go s.control(side)

	select {
	case <-s.outputEnded:
		if s.outputErr != nil {
			return 0, s.abort(ctx, s.r.fail(ctx, opExec, s.outputErr))
		}
	case err := <-s.out.failed:
		return 0, s.abort(ctx, callerFault("output could not be written", err))
	case err := <-s.errs.failed:
		return 0, s.abort(ctx, callerFault("output could not be written", err))
	case err := <-s.stdinTrouble:
		return 0, s.abort(ctx, callerFault("input broke off", err))
	case <-ctx.Done():
		return 0, s.abort(ctx, s.r.fail(ctx, opExec, ctx.Err()))
	}
	code, err := s.exitCode(ctx)
	if provisioner.Is(err, provisioner.Cancelled) || errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, s.abort(ctx, err)
	}
	if err != nil {
		return 0, err
	}
	if failed := s.stdout.finish(code); failed != "" {
		return 0, startFailure(failed, s.req)
	}
	if err := errors.Join(s.out.fault(), s.errs.fault()); err != nil {
		return 0, callerFault("output could not be written", err)
	}
	return code, nil
}

// callerFault is a stream of the caller that failed: to the sandbox as good as a cancel.
func callerFault(what string, err error) error {
	return &provisioner.Error{Class: provisioner.Cancelled, Op: opExec, Sentence: "the " + what + ": " + err.Error(), Err: err}
}

// exitCode asks for the code of a command whose output has ended. The engine ends it when the command is over, so
// one that runs on has lost its connection, and a part of its output with it: that must not look like its end.
func (s *session) exitCode(ctx context.Context) (int, error) {
	wait := 2 * time.Millisecond
	for waited := time.Duration(0); ; waited += wait {
		cctx, cancel := s.r.call(ctx)
		st, err := s.r.api.ContainerExecInspect(cctx, s.execID)
		cancel()
		if err != nil {
			err = s.r.fail(ctx, opExec, err)
			if provisioner.Is(err, provisioner.NotFound) {
				return 0, provisioner.Errorf(provisioner.NotFound, opExec, "the sandbox went away while the command ran")
			}
			return 0, err
		}
		if !st.Running {
			return st.ExitCode, nil
		}
		if waited > endFor {
			return 0, &provisioner.Error{Class: provisioner.Transient, Op: opExec, Unavailable: true,
				Sentence: "the connection to the command was lost while it ran", Err: io.ErrUnexpectedEOF}
		}
		select {
		case <-ctx.Done():
			return 0, s.r.fail(ctx, opExec, ctx.Err())
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
	kctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.r.timeout)
	defer cancel()
	killErr := s.kill(kctx)
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
	s.r.log.Warn("a cancelled command may still run", "sandbox", s.id, "error", killErr)
	return &provisioner.Error{
		Class: provisioner.ClassOf(why), Op: opExec, Unavailable: provisioner.IsUnavailable(why), Err: errors.Join(why, killErr),
		Sentence: provisioner.Sentence(why) + "; the command may still run, it could not be ended: " + provisioner.Sentence(killErr),
	}
}

// copyInput feeds the command. A read that fails is no end of input: a tar cut
// short would look complete to who unpacks it.
func (s *session) copyInput(ctx context.Context) {
	if s.req.TTY {
		// What is typed before the process id is out would be echoed into its line.
		select {
		case <-s.stdout.decided:
		case <-ctx.Done():
			return
		}
	}
	in := &faultReader{r: s.streams.Stdin}
	// A write fails when the command ended or does not read on; that is its right.
	_, _ = io.Copy(s.conn.Conn, in)
	if in.err != nil {
		s.stdinTrouble <- in.err
		return
	}
	_ = s.conn.CloseWrite() // fails only when the command is gone
}
