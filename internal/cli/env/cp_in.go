package env

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/source"
	"github.com/bothy-env/bothy/internal/client"
)

// The answers of lookup, as exit codes that sh never uses itself.
const (
	isFolder  = 100
	isFile    = 101
	isMissing = 102
)

// lookup reports the kind of file at a path in the environment.
var lookup = []string{"sh", "-c", `if [ -d "$1" ]; then exit 100; elif [ -e "$1" ]; then exit 101; else exit 102; fi`, "sh"}

// payload is the content to send; write writes the tar, with everything below one top name.
type payload struct {
	name   string
	folder bool
	files  int
	bytes  int64
	// size is the maximum size of the tar, in bytes; notes list the files that do not arrive unchanged.
	size  int64
	notes []string
	// sparse reports long holes. They count like data: the daemon limits the size of the unpacked files.
	sparse bool
	write  func(ctx context.Context, w io.Writer, as string, report source.Report) error
	close  func()
}

func (x *copier) toEnvironment(ctx context.Context, dst remote) error {
	load, err := x.load(ctx)
	if err != nil {
		return err
	}
	defer load.close()
	how := "copy SRC in parts, or exclude files with --exclude"
	if load.sparse {
		how = fmt.Sprintf("tar -cSf - FILE | bothy exec %s -- tar -xSf -    does not count holes", dst.env)
	}
	if err := checkSize(ctx, x.client, load.size, how); err != nil {
		return err
	}
	env, err := x.client.Get(ctx, dst.env)
	if err != nil {
		return err
	}
	to, _, slash := inside(env.Workspace, dst.path)
	what, err := x.lookUp(ctx, env, to)
	if err != nil {
		return err
	}
	// dir exists, as is the top name in it, "" for the content only.
	var dir, as string
	contents := load.folder && (x.opts.Src == "." || strings.HasSuffix(x.opts.Src, "/."))
	switch what {
	case isFolder:
		dir, as = to, load.name
		if contents {
			as = ""
		} else if as == "" {
			return cmdutil.Usagef("cp: %s is a directory, want a file name for the content of stdin", x.opts.Dst)
		}
	case isFile:
		if load.folder || slash {
			return &cmdutil.Error{Code: wire.CodeConflict, Sentence: fmt.Sprintf("cannot copy to %s: it is a file, not a directory", x.opts.Dst)}
		}
		dir, as = path.Dir(to), path.Base(to)
	case isMissing:
		if slash && !load.folder {
			return &cmdutil.Error{Code: wire.CodeNotFound, Sentence: fmt.Sprintf("cannot copy to %s: no such directory", x.opts.Dst)}
		}
		dir, as = path.Dir(to), path.Base(to)
	}
	notes, err := x.send(ctx, env, dir, as, load)
	if err != nil {
		return err
	}
	return x.done(Copied{env.Name, path.Join(dir, as), load.files, load.bytes, append(load.notes, notes...)})
}

// lookUp returns the kind of file at a path in the environment. Without a shell in the image, it uses the first entry of a copy.
func (x *copier) lookUp(ctx context.Context, env wire.Environment, to string) (int, error) {
	start := wire.ExecStart{Command: append(lookup[:len(lookup):len(lookup)], to), User: x.opts.User}
	code, err := x.client.Exec(ctx, client.ID(env.ID), start, client.ExecStreams{})
	if err == nil && code >= isFolder && code <= isMissing {
		return code, nil
	}
	if err == nil && code != 126 && code != 127 {
		return 0, fmt.Errorf("cannot look up %s: the shell in the environment failed with exit code %d", x.opts.Dst, code)
	}
	stream, copyErr := x.client.CopyFrom(ctx, client.ID(env.ID), to, x.opts.User)
	if client.CodeOf(copyErr) == wire.CodeNotFound {
		return isMissing, nil
	}
	if copyErr != nil {
		return 0, errors.Join(err, copyErr)
	}
	defer func() { _ = stream.Close() }() // the rest is not needed
	h, err := tar.NewReader(stream).Next()
	if err != nil {
		return 0, fmt.Errorf("cannot look up %s: cannot read the archive: %w", x.opts.Dst, err)
	}
	if h.Typeflag == tar.TypeDir {
		return isFolder, nil
	}
	return isFile, nil
}

func (x *copier) send(ctx context.Context, env wire.Environment, dir, as string, load payload) (notes []string, err error) {
	progress := transfer(x.opts.Factory)
	progress.Phase("Copying files")
	var moving flux
	err = sendTar(ctx, x.client, env, dir, x.opts.User, func(w io.Writer) error {
		return load.write(ctx, w, as, source.Report{Bytes: func(done int64) { progress.Bytes(done, load.bytes) }, Changed: moving.sent})
	})
	progress.Stop(err == nil)
	if err != nil {
		return nil, err
	}
	return moving.notes(), nil
}

// sendTar sends the tar that write produces. If it returns nil, write has returned.
func sendTar(ctx context.Context, c *client.Client, env wire.Environment, dir, user string, write func(io.Writer) error) error {
	r, w := io.Pipe()
	go func() { w.CloseWithError(write(w)) }()
	err := c.CopyTo(ctx, client.ID(env.ID), dir, user, r)
	if err == nil {
		// The daemon has read to the end of the archive. Only padding and the end itself may follow.
		_, err = io.Copy(io.Discard, r)
	}
	_ = r.CloseWithError(io.ErrClosedPipe) // stops the writer if the daemon did not read to the end
	return err
}

// leastSize is the size from which cp checks a copy against the daemon's limit before it starts. No limit is lower.
const leastSize = 1 << 20

// checkSize returns an error if a copy of size bytes exceeds the daemon's limit. how is the hint.
func checkSize(ctx context.Context, c *client.Client, size int64, how string) error {
	if size <= leastSize {
		return nil
	}
	v, err := c.Version(ctx)
	if err != nil || v.MaxCopyBytes == 0 || size <= v.MaxCopyBytes {
		return err
	}
	return &cmdutil.Error{
		Code:     wire.CodeTooLarge,
		Sentence: fmt.Sprintf("cannot copy %s: the daemon accepts at most %s per copy. Nothing was copied.", format.Bytes(size), format.Bytes(v.MaxCopyBytes)),
		Hint:     how + ", or raise max_copy_mib in bothyd's configuration",
	}
}

// cpHints are the hints of cp for a directory that cannot be copied.
var cpHints = sourceHints{
	noFolder: "use an existing file or directory, or - for stdin",
	noRights: "make the files readable, or exclude them with --exclude",
	tooMany:  "copy SRC in parts, or exclude files with --exclude",
}

// load opens the content to send.
func (x *copier) load(ctx context.Context) (payload, error) {
	src := x.opts.Src
	if src == "-" {
		return spool(ctx, x.opts.Factory)
	}
	info, err := os.Stat(src)
	if err != nil {
		return payload{}, local("cannot read source", err)
	}
	if info.IsDir() {
		tree, err := source.Folder(src, x.opts.Exclude)
		if err != nil {
			return payload{}, sourceFault(err, cpHints)
		}
		return payload{
			name: filepath.Base(tree.Dir), folder: true, files: tree.Files, bytes: tree.Bytes, size: tree.TarBytes(), notes: tree.Notes(),
			sparse: len(tree.Sparse) > 0, write: tree.WriteTar, close: func() {},
		}, nil
	}
	if !info.Mode().IsRegular() {
		return payload{}, cmdutil.Usagef("cp: %s is not a file or directory. Use - for stdin.", src)
	}
	if strings.HasSuffix(src, "/") {
		return payload{}, cmdutil.Usagef("cp: %s is a file, not a directory", src)
	}
	f, err := os.Open(src)
	if err != nil {
		return payload{}, local("cannot open source", err)
	}
	load, err := single(f, filepath.Base(src))
	told := source.Told(src, info)
	load.notes, load.sparse = told.Notes(), len(told.Sparse) > 0
	return load, err
}

// spool copies stdin to a temporary file, because a tar has the size before the content.
func spool(ctx context.Context, factory *cmdutil.Factory) (payload, error) {
	f, err := os.CreateTemp("", "bothy-cp-")
	if err != nil {
		return payload{}, fmt.Errorf("cannot buffer stdin: %w", err)
	}
	// The kernel deletes an unlinked file when this process ends, however that happens.
	if err := os.Remove(f.Name()); err != nil {
		return payload{}, errors.Join(fmt.Errorf("cannot buffer stdin: %w", err), f.Close())
	}
	progress := piped(factory, factory.IO.InTTY)
	progress.Phase("Reading stdin")
	in := &counted{r: factory.IO.In, report: progress.Bytes}
	_, err = cmdutil.Read(ctx, func() (int64, error) { return io.Copy(f, in) })
	progress.Stop(err == nil)
	if ctx.Err() != nil {
		return payload{}, context.Cause(ctx) // the file stays open: Read may still write to it
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err != nil {
		return payload{}, errors.Join(fmt.Errorf("cannot buffer stdin: %w", err), f.Close())
	}
	return single(f, "")
}

// single is the payload of one regular file; name is "" for stdin.
func single(f *os.File, name string) (payload, error) {
	info, err := f.Stat()
	if err != nil {
		return payload{}, errors.Join(local("cannot read source", err), f.Close())
	}
	return payload{
		name: name, files: 1, bytes: info.Size(), size: info.Size(),
		write: func(_ context.Context, w io.Writer, as string, report source.Report) error {
			return source.WriteFile(w, as, f, info, report)
		},
		close: func() { _ = f.Close() }, // opened to read
	}, nil
}
