package exec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/output"
)

var _ provisioner.Stager = (*Runner)(nil)

const (
	opStage   = "stage sandbox"
	opDeliver = "deliver files"

	// stageScript waits in folder $1 for what encodeFiles makes. It begins to write when the last line has come, so
	// that a connection which breaks off leaves nothing; what it cannot finish it removes. It uses the shell's builtins
	// alone, but for what is seldom needed: to start one program costs more than all the rest. While it waits it
	// is one shell in a read, which ends with its connection.
	stageScript = `[ -d "$1" ] || exit 66
cd "$1" 2>/dev/null && [ -w . ] || exit 67
used() {
  for file in .[!.]* ..?* *; do
    if [ -e "$file" ] || [ -L "$file" ]; then return 0; fi
  done
  return 1
}
if used; then echo used; else echo ready; fi
IFS= read -r claim && IFS= read -r count || exit 65
n=0; set --
while [ "$n" -lt "$count" ]; do
  n=$((n+1))
  read -r mask mode && IFS= read -r name && IFS= read -r data || exit 65
  eval "mask$n=\$mask mode$n=\$mode name$n=\$name data$n=\$data"
  set -- "$@" "./$name"
done
IFS= read -r end && [ "$end" = end ] || exit 65
if [ -n "$claim" ]; then
  held=
  if [ -f .bothy-claim ]; then IFS= read -r held < .bothy-claim; fi
  if [ "$held" != "$claim" ]; then
    if used; then exit 68; fi
    umask 222 && printf '%s\n' "$claim" > .bothy-claim || exit 1
  fi
fi
for file; do
  if [ -e "$file" ] || [ -L "$file" ]; then rm -f -- "$file" || exit 1; fi
done
while [ "$n" -gt 0 ]; do
  eval "mask=\$mask$n mode=\$mode$n name=\$name$n data=\$data$n"
  umask "$mask" && printf %b "$data" > "./$name" && { [ -z "$mode" ] || chmod "$mode" "./$name"; } || { rm -f -- "$@"; exit 1; }
  n=$((n-1))
done
echo done`
	lineReady       = "ready\n"
	lineUsed        = "used\n"
	lineDone        = "done\n"
	exitNoFolder    = 66
	exitNotWritable = 67
	exitUsed        = 68
	exitCutShort    = 65
)

// stage is a shell inside that waits; see stageScript. It holds one connection, and no goroutine while it waits.
type stage struct {
	r      *Runner
	id     string
	execID string
	conn   types.HijackedResponse
	words  output.Head
	used   atomic.Bool
	// filled says that the folder was not empty.
	filled bool
}

// Stage opens a way into a running sandbox. The image needs /bin/sh.
func (r *Runner) Stage(ctx context.Context, id, user string) (provisioner.Stage, error) {
	if err := engine.CheckID(opStage, id); err != nil {
		return nil, err
	}
	who, err := r.identify(ctx, id, user)
	if err != nil {
		return nil, engine.During(opStage, err)
	}
	var s *stage
	err = retried(func(wasFull bool) (err error) {
		s, err = r.stageOnce(ctx, id, user, who, wasFull)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (r *Runner) stageOnce(ctx context.Context, id, user string, who identity, wasFull bool) (*stage, error) {
	began, err := r.begin(ctx, id, wasFull)
	if err != nil {
		return nil, engine.During(opStage, err)
	}
	execID, err := r.createExec(ctx, id, who, container.ExecOptions{
		AttachStdin: true, AttachStdout: true, AttachStderr: true, Env: []string{"LC_ALL=C"},
		Cmd: []string{"/bin/sh", "-c", stageScript, "bothy-stage", provisioner.SecretsDir},
	})
	if err != nil {
		began.done()
		return nil, engine.During(opStage, err)
	}
	// Cut short by ctx, unlike a command: what was started half-way ends with its connection.
	conn, err := r.attach(ctx, execID, container.ExecAttachOptions{})
	if err != nil {
		r.leave(began, id, execID)
		return nil, engine.During(opStage, err)
	}
	s := &stage{r: r, id: id, execID: execID, conn: conn}
	said, err := s.answer(ctx, opStage, nil, lineReady, lineUsed)
	if err != nil {
		r.leave(began, id, execID)
	} else {
		began.done()
	}
	s.filled = said == lineUsed
	if err == nil && said != lineReady && !s.filled {
		err = s.refusal(ctx, user, said)
	}
	if err != nil {
		conn.Close()
		return nil, engine.During(opStage, err)
	}
	return s, nil
}

// refusal says why the shell inside does not wait.
func (s *stage) refusal(ctx context.Context, user, text string) error {
	code, err := s.exitCode(ctx)
	switch {
	case err != nil:
		return err
	case code == exitNoFolder:
		return provisioner.Errorf(provisioner.Permanent, opStage, "the sandbox has no directory %s", provisioner.SecretsDir)
	case code == exitNotWritable:
		return provisioner.Errorf(provisioner.Denied, opStage, "user %q may not write to %s in the sandbox", user, provisioner.SecretsDir)
	case notStarted(text, code):
		return s.r.StartFailure(ctx, s.id, text, provisioner.ExecRequest{User: user, Dir: "/"})
	}
	// The engine's helper that enters a sandbox may be killed by itself, for lack of memory for one: that is no end of the sandbox.
	status, err := s.r.sandboxes.Inspect(ctx, s.id)
	switch {
	case err != nil:
		return err
	case status.Running || status.Paused:
		if err := s.r.limits.Full(ctx, s.id); err != nil {
			return err
		}
		return provisioner.Errorf(provisioner.Transient, opStage, "the sandbox runs, and could not be entered (code %d): %s", code, output.FirstLine(s.words.String()))
	}
	return provisioner.Errorf(provisioner.NotFound, opStage, "the sandbox ended while it was entered (code %d): %s", code, output.FirstLine(s.words.String()))
}

// Used reports whether the folder was not empty when the shell began to wait.
func (s *stage) Used() bool { return s.filled }

// Deliver sends the files and waits until they are in place.
func (s *stage) Deliver(ctx context.Context, files []provisioner.File) error {
	return s.deliver(ctx, "", files)
}

// Claim is Deliver into an empty folder, or into one that was claimed with the same words.
func (s *stage) Claim(ctx context.Context, claim string, files []provisioner.File) error {
	if err := provisioner.CheckClaim(claim); err != nil {
		return err
	}
	return s.deliver(ctx, claim, files)
}

func (s *stage) deliver(ctx context.Context, claim string, files []provisioner.File) error {
	if s.used.Swap(true) {
		return provisioner.Errorf(provisioner.NotFound, opDeliver, "this way into the sandbox was used or closed before")
	}
	defer s.conn.Close()
	if err := ctx.Err(); err != nil {
		return s.r.engine.Fail(ctx, opDeliver, err)
	}
	frame, err := encodeFiles(claim, files)
	if err != nil {
		return err
	}
	defer s.r.limits.Lift(ctx, s.id)()
	said, err := s.answer(ctx, opDeliver, frame, lineDone)
	if err != nil || said == lineDone {
		return err
	}
	return s.failure(ctx)
}

// failure says why files were not delivered.
func (s *stage) failure(ctx context.Context) error {
	code, err := s.exitCode(ctx)
	words := s.words.String()
	switch {
	case provisioner.Is(err, provisioner.Transient) && errors.Is(err, io.ErrUnexpectedEOF):
		return provisioner.Errorf(provisioner.NotFound, opDeliver, "the connection into the sandbox was lost")
	case err != nil:
		return engine.During(opDeliver, err)
	case code == exitCutShort:
		return provisioner.Errorf(provisioner.NotFound, opDeliver, "the connection into the sandbox was lost")
	case code == exitUsed:
		return provisioner.NewUsed(opDeliver)
	case code != 1:
		return provisioner.Errorf(provisioner.NotFound, opDeliver, "the process that waited in the sandbox is gone, with code %d", code)
	}
	class := output.ClassOf(words)
	if strings.Contains(words, "printf: I/O error") {
		class = provisioner.Quota // a shell's words for any write that fails; in memory only want of room does that
	}
	return provisioner.Errorf(class, opDeliver, "writing to %s in the sandbox failed: %s", provisioner.SecretsDir, output.FirstLine(words))
}

// Close returns the way up. Idempotent; a Deliver that waits ends. The process inside ends with it, one that is frozen
// when it is thawed.
func (s *stage) Close() error {
	s.used.Store(true)
	s.conn.Close()
	return nil
}

// answer sends a frame and gives what the shell inside says, up to a line that is wanted or else to its end.
func (s *stage) answer(ctx context.Context, op string, frame []byte, wanted ...string) (string, error) {
	cctx, cancel := s.r.engine.Call(ctx)
	defer cancel()
	defer context.AfterFunc(cctx, s.conn.Close)()
	if len(frame) > 0 {
		// When it fails the process is gone: its last words say more.
		_, _ = s.conn.Conn.Write(frame)
		_ = s.conn.CloseWrite()
	}
	line := &awaited{wanted: wanted}
	_, err := stdcopy.StdCopy(line, &s.words, s.conn.Reader)
	if err != nil && !errors.Is(err, errAwaited) && cctx.Err() != nil {
		return "", s.r.engine.Fail(ctx, op, cctx.Err())
	}
	return string(line.got), nil
}

func (s *stage) exitCode(ctx context.Context) (int, error) {
	return (&session{r: s.r, execID: s.execID}).exitCode(ctx)
}

// errAwaited ends the reading of output; it is no failure.
var errAwaited = errors.New("the line that was awaited has come")

// awaited keeps output and ends when it is a line that is wanted.
type awaited struct {
	wanted []string
	got    []byte
}

func (a *awaited) Write(p []byte) (int, error) {
	a.got = append(a.got, p[:min(len(p), heldMost-len(a.got))]...)
	if slices.Contains(a.wanted, string(a.got)) {
		return len(p), errAwaited
	}
	return len(p), nil
}

// encodeFiles makes what stageScript reads: the claim, which may be empty; how many files there are; for each, the umask and, when programs of it
// are to be run, the mode too, its name, and its data in the escapes of printf's %b; and the end.
func encodeFiles(claim string, files []provisioner.File) ([]byte, error) {
	if err := provisioner.CheckFiles(files); err != nil {
		return nil, err
	}
	b := fmt.Appendf(nil, "%s\n%d\n", claim, len(files))
	for _, f := range files {
		b = fmt.Appendf(b, "%03o", 0o777&^f.Mode)
		if f.Mode&0o111 != 0 {
			b = fmt.Appendf(b, " %03o", f.Mode) // a shell makes no files that may be run
		}
		b = append(append(append(b, '\n'), f.Name...), '\n')
		b = append(escape(b, f.Data), '\n')
	}
	return append(b, "end\n"...), nil
}

// escape appends data with every byte escaped that could mean something to a shell's read or to printf. Shells mark
// places in their own texts with some of the bytes from 0x80 on.
func escape(b, data []byte) []byte {
	const octal = "01234567"
	for _, c := range data {
		if c < ' ' || c == '\\' || c >= 0x7f && c < 0xa0 {
			b = append(b, '\\', '0', octal[c>>6], octal[c>>3&7], octal[c&7])
		} else {
			b = append(b, c)
		}
	}
	return b
}
