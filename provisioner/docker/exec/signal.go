package exec

import (
	"context"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

// killScript kills every process of the sessions that it is given, and looks again until none
// is left, since a process may fork between look and kill, and on a busy machine one that is killed
// takes its time to end. The leaders' groups
// go first, and at once: one by one, a shell could see its child die and begin
// the next command. It uses the shell's builtins alone.
// With "still" set nothing in the sandbox runs but the script: one look finds all, and they end when they go on.
// Fields of a stat line after the name in brackets: state, parent, group, session.
const killScript = `
sids=" $* "
for sid; do kill -s KILL -- "-$sid" 2>/dev/null; done
pass=0
while [ $pass -lt 500 ]; do
  left=0
  for stat in /proc/[0-9]*/stat; do
    { read -r line < "$stat"; } 2>/dev/null || continue
    pid=${line%% *}
    set -- ${line##*) }
    case "$sids" in *" $4 "*) ;; *) continue ;; esac
    if [ "$1" != Z ] && [ "$1" != X ]; then
      left=1
      kill -KILL "$pid" 2>/dev/null
    fi
  done
  if [ $left = 0 ] || [ -n "$still" ]; then exit 0; fi
  pass=$((pass+1))
done
exit 1`

// errUnkilled: a kill left something over.
var errUnkilled = provisioner.Errorf(provisioner.Transient, "end command", "processes of it are left that could not be killed")

// signals are the names that may be sent into a sandbox.
var signals = map[string]bool{
	"HUP": true, "INT": true, "QUIT": true, "TERM": true, "KILL": true, "USR1": true,
	"USR2": true, "STOP": true, "CONT": true, "TSTP": true, "WINCH": true, "ALRM": true,
}

// control passes terminal sizes and signals on while the command runs. Both
// wait until it has started, else they would hit nothing.
func (s *session) control(ctx context.Context) {
	select {
	case <-s.stdout.decided:
	case <-ctx.Done():
		return
	}
	resize, sigs := s.streams.Resize, s.streams.Signals
	for resize != nil || sigs != nil {
		select {
		case <-ctx.Done():
			return
		case size, ok := <-resize:
			if !ok {
				resize = nil
				continue
			}
			s.resize(ctx, size)
		case name, ok := <-sigs:
			if !ok {
				sigs = nil
				continue
			}
			s.signal(ctx, name)
		}
	}
}

func (s *session) resize(ctx context.Context, size provisioner.Size) {
	if !s.req.TTY || size.Rows == 0 || size.Cols == 0 {
		return
	}
	cctx, cancel := s.r.engine.Call(ctx)
	defer cancel()
	err := s.r.engine.API.ContainerExecResize(cctx, s.execID, container.ResizeOptions{Height: uint(size.Rows), Width: uint(size.Cols)})
	if err != nil && ctx.Err() == nil {
		s.r.engine.Log.Debug("resize a terminal", "sandbox", s.id, "error", err)
	}
}

// signal sends a signal to the command's process group, with the rights of the command's own user.
func (s *session) signal(ctx context.Context, name string) {
	name = strings.TrimPrefix(strings.ToUpper(name), "SIG")
	if !signals[name] || s.stdout.pid == 0 {
		s.r.engine.Log.Warn("a signal was not passed on", "sandbox", s.id, "signal", name)
		return
	}
	code, err := s.r.helper(ctx, s.id, s.who, `kill -s "$1" -- "-$2"`, name, strconv.Itoa(s.stdout.pid))
	if ctx.Err() == nil && (err != nil || code != 0) {
		s.r.engine.Log.Debug("send a signal", "sandbox", s.id, "signal", name, "code", code, "error", err)
	}
}

// opening drops a helper's output, and notes whether it began. What the engine says in its place begins with no empty line.
type opening struct{ some, open bool }

func (o *opening) Write(p []byte) (int, error) {
	if !o.some && len(p) > 0 {
		o.some, o.open = true, p[0] == '\n'
	}
	return len(p), nil
}

// kill ends the command's whole session. It runs inside the sandbox as the command's
// own user, never with more rights: root in a sandbox could have put anything in place of its shell.
func (s *session) kill(ctx context.Context) error {
	select {
	case <-s.stdout.decided:
	case <-time.After(startFor):
		return provisioner.Errorf(provisioner.Transient, "end command", "it did not start in time")
	}
	if s.stdout.pid == 0 {
		return nil // it never started, or has ended
	}
	code, err := s.r.helper(ctx, s.id, s.who, killScript, strconv.Itoa(s.stdout.pid))
	switch {
	case err != nil:
		return err
	case code != 0:
		return errUnkilled
	}
	return nil
}

// helper runs a script of ours inside, as "uid:gid", and returns its exit code. Its output is dropped.
func (r *Runner) helper(ctx context.Context, id, user, script string, args ...string) (code int, err error) {
	err = retried(func(wasFull bool) (err error) {
		code, err = r.helperOnce(ctx, id, user, script, args, wasFull)
		return err
	})
	return code, err
}

const (
	// helperBegins is what a helper writes first.
	helperBegins = "echo; still=; "
	// helperStill begins one in a sandbox that is held still until it has ended.
	helperStill = "echo; still=1; "
)

func (r *Runner) helperOnce(ctx context.Context, id, user, script string, args []string, wasFull bool) (int, error) {
	began, err := r.begin(ctx, id, wasFull)
	if err != nil {
		return 0, err
	}
	begins := helperBegins
	if began.still() {
		begins = helperStill
	}
	execID, err := r.createExec(ctx, id, identity{user: user}, container.ExecOptions{
		AttachStdout: true, AttachStderr: true,
		Cmd: append([]string{"/bin/sh", "-c", begins + script, "sh"}, args...),
	})
	if err != nil {
		began.done()
		return 0, r.unstarted(ctx, id, provisioner.ExecRequest{}, err)
	}
	conn, err := r.attachExec(ctx, execID, container.ExecAttachOptions{})
	if err != nil {
		r.leave(began, id, execID)
		return 0, r.unstarted(ctx, id, provisioner.ExecRequest{}, err)
	}
	stop := context.AfterFunc(ctx, conn.Close)
	defer stop()
	defer conn.Close()
	said := &opening{}
	if _, err := stdcopy.StdCopy(said, io.Discard, conn.Reader); err != nil {
		r.leave(began, id, execID)
		return 0, r.engine.Fail(ctx, engine.OpExec, err)
	}
	over := began.still()
	began.done()
	s := &session{r: r, execID: execID}
	code, err := s.exitCode(ctx)
	if err == nil && begins == helperStill && !over {
		return code, errUnkilled // what it was to find may have moved
	}
	if err == nil && code != 0 && !said.open {
		if full := r.limits.Full(ctx, id); full != nil {
			return code, full
		}
	}
	return code, err
}
