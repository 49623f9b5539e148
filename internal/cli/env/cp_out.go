package env

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/unpack"
	"github.com/bothy-env/bothy/internal/client"
)

// copier runs one cp.
type copier struct {
	opts   *CpOptions
	client *client.Client
}

// Copied is what cp prints with --output json.
type Copied struct {
	// Environment is the name of the environment.
	Environment string `json:"environment"`
	// Path is the path of the copy.
	Path  string `json:"path"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
	// Notes list what differs from the original.
	Notes []string `json:"notes,omitempty"`
}

func (x *copier) done(c Copied) error {
	if !x.opts.Factory.JSON() {
		warn(x.opts.Factory, c.Notes...)
	}
	return x.opts.Factory.Print(c, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s, %s -> %s\n", format.Count(c.Files, "file"), format.Bytes(c.Bytes), format.Clean(c.Path))
		return err
	})
}

func (x *copier) fromEnvironment(ctx context.Context, src remote) error {
	env, err := x.client.Get(ctx, src.env)
	if err != nil {
		return err
	}
	from, contents, _ := inside(env.Workspace, src.path)
	copied := Copied{Environment: env.Name}
	err = x.receive(ctx, env, from, contents, &copied)
	if client.CodeOf(err) == wire.CodeNotFound && isPattern(src.path) {
		err = x.receiveAll(ctx, env, src.path, contents, &copied, err)
	}
	if x.opts.Dst == "-" && err == nil {
		warn(x.opts.Factory, copied.Notes...) // stdout has the copy
		return nil
	}
	if refused, ok := errors.AsType[*unpack.Refused](err); ok {
		if err := x.done(copied); err != nil {
			return err
		}
		// A plain failure: most was copied, and no policy refused the request.
		return &cmdutil.Error{Code: wire.CodeConflict, Sentence: refused.Error(), Hint: "to get the skipped entries, copy a tar to stdout: bothy cp ENV:PATH -", Err: err}
	}
	if err != nil {
		return x.inPart(copied, err)
	}
	return x.done(copied)
}

// receive copies one file or directory from the environment and adds it to copied.
func (x *copier) receive(ctx context.Context, env wire.Environment, from string, contents bool, copied *Copied) error {
	stream, err := x.client.CopyFrom(ctx, client.ID(env.ID), from, x.opts.User)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }() // read to the end, or abandoned
	if x.opts.Dst == "-" {
		progress := piped(x.opts.Factory, x.opts.Factory.IO.OutTTY)
		progress.Phase("Copying files")
		err = toOutput(x.opts.Factory.IO.Raw().Out, &counted{r: stream, report: progress.Bytes}, from, func() (int64, error) { return x.mostSparse(ctx) })
		progress.Stop(err == nil)
		copied.Notes = append(copied.Notes, outNotes(stream, unpack.Result{})...)
		return err
	}
	progress := transfer(x.opts.Factory)
	progress.Phase("Copying files")
	opts := unpack.Options{Contents: contents, MostSparse: func() (int64, error) { return x.mostSparse(ctx) }}
	if len(x.opts.Exclude) > 0 {
		opts.Exclude = x.opts.Exclude.Match
	}
	result, err := unpack.Tar(&counted{r: stream, report: progress.Bytes}, path.Base(from), x.opts.Dst, opts)
	progress.Stop(err == nil)
	copied.Path = result.Target
	copied.Files += result.Files
	copied.Bytes += result.Bytes
	copied.Notes = append(copied.Notes, outNotes(stream, result)...)
	if _, said := errors.AsType[*unpack.Refused](err); err != nil && !said && result.Refused.Count > 0 {
		copied.Notes = append(copied.Notes, "skipped: "+result.Refused.String())
	}
	return err
}

// mostSparse returns the maximum size of sparse files in one copy from the environment, in bytes: the same as in the other direction.
func (x *copier) mostSparse(ctx context.Context) (int64, error) {
	v, err := x.client.Version(ctx)
	if err != nil {
		return 0, err
	}
	return cmp.Or(v.MaxCopyBytes, unpack.DefaultMostSparse), nil
}

// outNotes lists what in a copy differs from the original in the environment.
func outNotes(stream io.Reader, result unpack.Result) []string {
	var all []string
	if noted, ok := stream.(interface {
		Notes() ([]wire.CopyNote, int)
	}); ok {
		var moving flux
		moving.received(noted.Notes())
		all = moving.notes()
	}
	if result.SetID.Count > 0 {
		all = append(all, "dropped set-user-ID and set-group-ID bits: "+result.SetID.String())
	}
	if result.Attributes.Count > 0 {
		all = append(all, "dropped extended attributes: "+result.Attributes.String())
	}
	return all
}

// counted reports how many bytes were read; the total is unknown.
type counted struct {
	r      io.Reader
	done   int64
	report func(done, total int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.done += int64(n)
	c.report(c.done, 0)
	return n, err
}

// inPart adds to the error of a failed copy what was copied.
func (x *copier) inPart(c Copied, err error) error {
	if _, interrupted := errors.AsType[cmdutil.Interrupted](err); interrupted || c.Path == "" {
		return err
	}
	warn(x.opts.Factory, c.Notes...)
	p := cmdutil.ProblemOf(underWay(err))
	return &cmdutil.Error{
		Code: p.Code, Hint: p.Hint,
		Sentence: fmt.Sprintf("incomplete copy: %s. Copied %s, %s to %s.", strings.TrimRight(p.Detail, "."),
			format.Count(c.Files, "file"), format.Bytes(c.Bytes), c.Path),
	}
}

// toOutput writes a file unchanged, and a directory as a tar. It reads to the end of the stream, which shows whether the copy is complete.
func toOutput(out io.Writer, stream io.Reader, from string, mostSparse func() (int64, error)) error {
	var head bytes.Buffer
	tee := &switchTee{from: stream, to: &head}
	in := unpack.NewStream(tee)
	h, err := in.Next()
	if errors.Is(err, io.EOF) {
		err = errors.New("cannot read the archive: it is empty")
	}
	if err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		tee.to = nil
		if unpack.Sparse(h) {
			most, err := mostSparse()
			if err != nil {
				return err
			}
			if h.Size > most {
				return &cmdutil.Error{Code: wire.CodeTooLarge, Sentence: fmt.Sprintf("cannot copy sparse file %s: its size is %s, and the limit for sparse files is %s per copy",
					from, format.Bytes(h.Size), format.Bytes(most)), Hint: "raise max_copy_mib in bothyd's configuration"}
			}
		}
		if _, err = io.Copy(out, in); err == nil {
			_, err = in.Next()
		}
		switch {
		case err == nil:
			err = errors.New("the archive contains more than the one file")
		case errors.Is(err, io.EOF):
			err = nil
		}
	case tar.TypeDir:
		// Pass the bytes on, and parse them as an archive to detect data after its end mark.
		if _, err = out.Write(head.Bytes()); err == nil {
			tee.to = out
			for err == nil {
				_, err = in.Next()
			}
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
	case tar.TypeSymlink:
		return &cmdutil.Error{Code: wire.CodeConflict, Sentence: fmt.Sprintf("cannot copy %s: it is a link to %s", from, format.Clean(h.Linkname)), Hint: "copy the target of the link"}
	default:
		return &cmdutil.Error{Code: wire.CodeConflict, Sentence: fmt.Sprintf("cannot copy %s: it is not a file or directory", from)}
	}
	if err != nil {
		return fmt.Errorf("cannot copy to stdout: %w", err)
	}
	return nil
}

// switchTee copies the data it reads to to, while to is set.
type switchTee struct {
	from io.Reader
	to   io.Writer
}

func (t *switchTee) Read(p []byte) (int, error) {
	n, err := t.from.Read(p)
	if t.to != nil && n > 0 {
		if _, failed := t.to.Write(p[:n]); failed != nil {
			return n, failed
		}
	}
	return n, err
}
