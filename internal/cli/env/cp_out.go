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

// copier does one cp.
type copier struct {
	opts   *CpOptions
	client *client.Client
}

// Copied is what cp prints with --output json.
type Copied struct {
	// Environment is the name of the environment.
	Environment string `json:"environment"`
	// Path is where it was written to.
	Path  string `json:"path"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
	// Notes say what is not as it was at the other side.
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
		warn(x.opts.Factory, copied.Notes...) // the output is the copy's
		return nil
	}
	if refused, ok := errors.AsType[*unpack.Refused](err); ok {
		if err := x.done(copied); err != nil {
			return err
		}
		// Most was copied, so this is a failure like any other: no policy refused the request.
		return &cmdutil.Error{Code: wire.CodeConflict, Sentence: refused.Error(), Hint: "Copy them as a tar (to -) when they are wanted.", Err: err}
	}
	if err != nil {
		return x.inPart(copied, err)
	}
	return x.done(copied)
}

// receive copies one file or folder out and adds it to what was copied.
func (x *copier) receive(ctx context.Context, env wire.Environment, from string, contents bool, copied *Copied) error {
	stream, err := x.client.CopyFrom(ctx, client.ID(env.ID), from, x.opts.User)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }() // read to its end, or given up
	if x.opts.Dst == "-" {
		progress := piped(x.opts.Factory, x.opts.Factory.IO.OutTTY)
		progress.Phase("copying")
		err = toOutput(x.opts.Factory.IO.Raw().Out, &counted{r: stream, report: progress.Bytes}, from, func() (int64, error) { return x.mostSparse(ctx) })
		progress.Stop(err == nil)
		copied.Notes = append(copied.Notes, outNotes(stream, unpack.Result{})...)
		return err
	}
	progress := transfer(x.opts.Factory)
	progress.Phase("copying")
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
		copied.Notes = append(copied.Notes, "left out: "+result.Refused.String())
	}
	return err
}

// mostSparse is how much files with holes may have in one copy out: as much as the daemon takes in one copy in.
func (x *copier) mostSparse(ctx context.Context) (int64, error) {
	v, err := x.client.Version(ctx)
	if err != nil {
		return 0, err
	}
	return cmp.Or(v.MaxCopyBytes, unpack.DefaultMostSparse), nil
}

// outNotes say what of a copy is not as it was inside.
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
		all = append(all, "set-user-ID and set-group-ID bits of files are not copied: "+result.SetID.String())
	}
	if result.Attributes.Count > 0 {
		all = append(all, "extended attributes are not copied: "+result.Attributes.String())
	}
	return all
}

// counted tells how much was read; how much there is nobody knows.
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

// inPart says what of a copy that failed is there.
func (x *copier) inPart(c Copied, err error) error {
	if _, interrupted := errors.AsType[cmdutil.Interrupted](err); interrupted || c.Path == "" {
		return err
	}
	warn(x.opts.Factory, c.Notes...)
	p := cmdutil.ProblemOf(underWay(err))
	return &cmdutil.Error{
		Code: p.Code, Hint: p.Hint,
		Sentence: fmt.Sprintf("the copy is not whole: %s; %s, %s were written to %s", strings.TrimRight(p.Detail, "."),
			format.Count(c.Files, "file"), format.Bytes(c.Bytes), c.Path),
	}
}

// toOutput writes one file as it is, a folder as a tar. Either is read to the end of the stream, which tells whether it is whole.
func toOutput(out io.Writer, stream io.Reader, from string, mostSparse func() (int64, error)) error {
	var head bytes.Buffer
	tee := &switchTee{from: stream, to: &head}
	in := unpack.NewStream(tee)
	h, err := in.Next()
	if errors.Is(err, io.EOF) {
		err = errors.New("read archive: it is empty")
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
				return &cmdutil.Error{Code: wire.CodeTooLarge, Sentence: fmt.Sprintf("%s has %s with its holes, and files with holes may have %s in one copy",
					from, format.Bytes(h.Size), format.Bytes(most)), Hint: "raise max_copy_mib in bothyd's configuration"}
			}
		}
		if _, err = io.Copy(out, in); err == nil {
			_, err = in.Next()
		}
		switch {
		case err == nil:
			err = errors.New("the archive is of one file, and holds more")
		case errors.Is(err, io.EOF):
			err = nil
		}
	case tar.TypeDir:
		// It passes as it is, and is read as an archive meanwhile: one that goes on after its end mark is told.
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
		return &cmdutil.Error{Code: wire.CodeConflict, Sentence: fmt.Sprintf("%s is a link to %s", from, format.Clean(h.Linkname)), Hint: "Copy what it leads to."}
	default:
		return &cmdutil.Error{Code: wire.CodeConflict, Sentence: from + " is no file or folder"}
	}
	if err != nil {
		return fmt.Errorf("copy to output: %w", err)
	}
	return nil
}

// switchTee passes on what is read as long as to is set.
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
