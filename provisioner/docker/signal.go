package docker

import (
	"context"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
)

// killScript kills every process of the session $1, and looks again until none
// is left, since a process may fork between look and kill, and on a busy machine one that is killed
// takes its time to end. The leader's group
// goes first, and at once: one by one, a shell could see its child die and begin
// the next command. It uses the shell's builtins alone.
// Fields of a stat line after the name in brackets: state, parent, group, session.
const killScript = `
sid=$1
kill -s KILL -- "-$sid" 2>/dev/null
pass=0
while [ $pass -lt 500 ]; do
  left=0
  for stat in /proc/[0-9]*/stat; do
    { read -r line < "$stat"; } 2>/dev/null || continue
    pid=${line%% *}
    set -- ${line##*) }
    if [ "$4" = "$sid" ] && [ "$1" != Z ] && [ "$1" != X ]; then
      left=1
      kill -KILL "$pid" 2>/dev/null
    fi
  done
  [ $left = 0 ] && exit 0
  pass=$((pass+1))
done
exit 1`

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
	cctx, cancel := s.r.call(ctx)
	defer cancel()
	err := s.r.api.ContainerExecResize(cctx, s.execID, container.ResizeOptions{Height: uint(size.Rows), Width: uint(size.Cols)})
	if err != nil && ctx.Err() == nil {
		s.r.log.Debug("resize a terminal", "sandbox", s.id, "error", err)
	}
}

// signal sends a signal to the command's process group, with the rights of the command's own user.
func (s *session) signal(ctx context.Context, name string) {
	name = strings.TrimPrefix(strings.ToUpper(name), "SIG")
	if !signals[name] || s.stdout.pid == 0 {
		s.r.log.Warn("a signal was not passed on", "sandbox", s.id, "signal", name)
		return
	}
	code, err := s.r.helper(ctx, s.id, s.req.User, `kill -s "$1" -- "-$2"`, name, strconv.Itoa(s.stdout.pid))
	if ctx.Err() == nil && (err != nil || code != 0) {
		s.r.log.Debug("send a signal", "sandbox", s.id, "signal", name, "code", code, "error", err)
	}
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
	code, err := s.r.helper(ctx, s.id, s.req.User, killScript, strconv.Itoa(s.stdout.pid))
	switch {
	case err != nil:
		return err
	case code != 0:
		return provisioner.Errorf(provisioner.Transient, "end command", "processes of it are left that could not be killed")
	}
	return nil
}

// helper runs a script of ours inside and returns its exit code. Its output is dropped.
func (r *Runtime) helper(ctx context.Context, id, user, script string, args ...string) (int, error) {
	execID, err := r.createExec(ctx, id, container.ExecOptions{
		User: user, AttachStdout: true, AttachStderr: true,
		Cmd: append([]string{"/bin/sh", "-c", script, "sh"}, args...),
	})
	if err != nil {
		return 0, err
	}
	conn, err := r.attachExec(ctx, execID, false)
	if err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, conn.Close)
	defer stop()
	defer conn.Close()
	if _, err := io.Copy(io.Discard, conn.Reader); err != nil {
		return 0, r.fail(ctx, opExec, err)
	}
	s := &session{r: r, execID: execID}
	return s.exitCode(ctx)
}
