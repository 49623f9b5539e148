// Package cp copies files into and out of a sandbox.
package cp

import (
	"context"
	"errors"
	"io"
	"path"
	"strings"
	"sync"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/output"
	"github.com/bothy-env/bothy/provisioner/docker/tarstream"
)

const (
	// exitNotThere is how our scripts say that the path is missing; tar's own codes are 0 to 2.
	exitNotThere = 66
	// unpackScript unpacks its input in folder $1, with modes as given and the running user as owner.
	unpackScript = `CDPATH=; cd -- "$1" 2>/dev/null || exit 66; exec tar -xpof -`
	// packScript packs $3 of folder $2, which together are $1. A link is followed when it is what was asked for, as cp does; one
	// that leads nowhere is packed as it is.
	packScript = `CDPATH=; [ -e "$1" ] || [ -L "$1" ] || exit 66; cd -- "$2" || exit 66; set -- "$3"; follow=
if [ -L "$1" ]; then if [ -d "$1" ]; then set -- "$1/."; elif [ -e "$1" ]; then follow=h; fi; fi
exec tar -c${follow}f - -- "$1"`
	opCopyFrom = "copy from sandbox"
)

// untranslated makes tools say what they say in English, since it is read here. Unlike LC_ALL it leaves the names of files alone.
var untranslated = []string{"LANGUAGE=C"}

// packOptions are options of GNU tar, which others do not read: times to the nanosecond, holes as such, and which files have extended attributes.
// noOptions keeps those of an image away.
const (
	packOptions = "TAR_OPTIONS=--format=pax --pax-option=delete=atime,delete=ctime --xattrs --sparse"
	noOptions   = "TAR_OPTIONS="
)

// Commands runs commands in sandboxes.
type Commands interface {
	Exec(ctx context.Context, id string, req provisioner.ExecRequest, streams provisioner.Streams) (int, error)
}

// Copier copies files.
type Copier struct {
	engine *engine.Client
	exec   Commands
}

// New returns a Copier that copies with commands inside.
func New(e *engine.Client, commands Commands) *Copier { return &Copier{engine: e, exec: commands} }

// CopyTo unpacks a tar stream into folder dir, owned by user.
//
// Every entry is checked here while it streams by; the first bad one ends the copy, and what came before
// it stays. Unpacking happens inside the sandbox with the user's own rights: a link that the user's
// processes plant in dir meanwhile can lead it to no place that they could not write themselves, and never out of
// the sandbox. The image needs tar. After a failure the tar stream may have one Read more to come.
func (c *Copier) CopyTo(ctx context.Context, id, dir, user string, tarStream io.Reader) error {
	where, err := cleanPath(tarstream.Op, dir)
	if err != nil {
		return err
	}
	pr, pw := io.Pipe()
	checked := make(chan error, 1)
	go func() {
		err := tarstream.Clean(ctx, tarStream, pw, func() bool { return c.knowsHoles(ctx, id, user) })
		_ = pw.CloseWithError(asRefusal(err)) // never fails
		if err == nil {
			// What follows a tar's end is padding; its writer must not find the pipe closed.
			_, _ = io.CopyN(io.Discard, tarStream, 1<<20)
		}
		checked <- err
	}()
	words := &packWords{}
	code, err := c.exec.Exec(ctx, id, provisioner.ExecRequest{
		Command: []string{"/bin/sh", "-c", unpackScript, "sh", where}, User: user, Dir: rootFor(where), Env: append(untranslated[:1:1], noOptions),
	}, provisioner.Streams{Stdin: pr, Stdout: words, Stderr: words})
	_ = pr.CloseWithError(io.ErrClosedPipe) // never fails; ends the checker when the sandbox's side ended first

	if err != nil {
		// A refused entry reaches us as the broken input of the command.
		if refused, ok := errors.AsType[refusal](err); ok && ctx.Err() == nil {
			return refused.why
		}
		return engine.During(tarstream.Op, err)
	}
	if code != 0 {
		return unpackFailure(code, dir, user, words.String())
	}
	select {
	case err := <-checked:
		return err
	case <-ctx.Done():
		return c.engine.Fail(ctx, tarstream.Op, ctx.Err())
	}
}

// refusal marks what was wrong with a tar stream, so that it is found in whatever the broken input led to: the command
// may not have been ended, too.
type refusal struct{ why *provisioner.Error }

func (r refusal) Error() string { return r.why.Error() }
func (r refusal) Unwrap() error { return r.why }

// asRefusal marks an error of tarstream.Clean that refuses an entry; those of reading the stream pass.
func asRefusal(err error) error {
	if e, ok := errors.AsType[*provisioner.Error](err); ok {
		return refusal{why: e}
	}
	return err
}

// unpackFailure says why tar did not unpack.
func unpackFailure(code int, dir, user, said string) error {
	switch code {
	case exitNotThere:
		return provisioner.Errorf(provisioner.NotFound, tarstream.Op,
			"the directory %q does not exist in the sandbox, or user %q may not enter it", dir, user)
	case 127:
		return provisioner.Errorf(provisioner.Permanent, tarstream.Op, "the sandbox's image has no tar, which bothy needs to copy files")
	}
	return provisioner.Errorf(output.ClassOf(said), tarstream.Op, "unpacking in %q failed with code %d: %s", dir, code, said)
}

// CopyFrom returns path as a tar stream whose first entry is its base name, read with the rights of user. A path that is a link is
// followed; links inside a folder are not. The reader is a provisioner.NotedCopy.
//
// The stream is made inside the sandbox: its reader must check the entries before it writes them
// anywhere. A file that could not be read makes the last Read fail, with its name and what tar said; so does a tar that something
// inside has killed. Close ends what is
// still running; ctx must live as long as the stream.
func (c *Copier) CopyFrom(ctx context.Context, id, file, user string) (io.ReadCloser, error) {
	where, err := cleanPath(opCopyFrom, file)
	if err != nil {
		return nil, err
	}
	base := path.Base(where)
	if base == "/" {
		base = "."
	}
	ectx, cancel := context.WithCancel(ctx)
	pr, pw := io.Pipe()
	first := &firstWrite{w: pw, began: make(chan struct{})}
	words := &packWords{}
	s := &copyStream{PipeReader: pr, cancel: cancel, ended: make(chan struct{}), words: words}
	go func() {
		defer close(s.ended)
		code, err := c.exec.Exec(ectx, id, provisioner.ExecRequest{
			Command: []string{"/bin/sh", "-c", packScript, "sh", where, path.Dir(where), base}, User: user, Dir: rootFor(where), Env: append(untranslated[:1:1], packOptions),
		}, provisioner.Streams{Stdout: first, Stderr: words})
		s.err = packOutcome(code, err, file, user, words)
		_ = pw.CloseWithError(s.err) // never fails
	}()
	select {
	case <-first.began:
		return s, nil
	case <-s.ended:
		if s.err != nil {
			cancel()
			return nil, s.err
		}
		return s, nil
	}
}

// copyStream is the reader that CopyFrom hands out.
type copyStream struct {
	*io.PipeReader
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // set before ended is closed
	words  *packWords
}

// Notes tell what tar noted.
func (s *copyStream) Notes() provisioner.CopyNotes { return s.words.notes() }

// Close ends the stream and waits until the sandbox's side has ended.
func (s *copyStream) Close() error {
	_ = s.PipeReader.Close() // never fails
	s.cancel()
	<-s.ended
	return nil
}

// firstWrite tells when output begins.
type firstWrite struct {
	w     io.Writer
	began chan struct{}
	once  sync.Once
}

func (f *firstWrite) Write(p []byte) (int, error) {
	f.once.Do(func() { close(f.began) })
	return f.w.Write(p)
}

// cleanPath refuses what is no path and keeps a relative one from being read as an option.
func cleanPath(op, p string) (string, error) {
	if p == "" || strings.ContainsRune(p, 0) {
		return "", provisioner.Errorf(provisioner.Permanent, op, "%q is no path", p)
	}
	p = path.Clean(p)
	if path.IsAbs(p) {
		return p, nil
	}
	return "./" + p, nil
}

// rootFor is the working directory for an absolute path: the image's own may have been removed.
func rootFor(p string) string {
	if path.IsAbs(p) {
		return "/"
	}
	return ""
}

// knowsHoles reports whether the sandbox's tar makes holes of a sparse entry: GNU tar does. Others would take the entry for a file of
// that odd name.
func (c *Copier) knowsHoles(ctx context.Context, id, user string) bool {
	said := &output.Head{}
	code, err := c.exec.Exec(ctx, id, provisioner.ExecRequest{Command: []string{"tar", "--version"}, User: user, Dir: "/", Env: append(untranslated[:1:1], noOptions)},
		provisioner.Streams{Stdout: said, Stderr: io.Discard})
	// One that cannot be asked gets the zeros, which it may not want either: unpacking tells.
	return err == nil && code == 0 && strings.HasPrefix(said.String(), "tar (GNU tar)")
}
