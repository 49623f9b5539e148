package env

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"

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
}

func (x *copier) done(c Copied) error {
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
	stream, err := x.client.CopyFrom(ctx, env.ID, from, x.opts.User)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }() // read to its end, or given up
	if x.opts.Dst == "-" {
		return toOutput(x.opts.Factory.IO.Out, stream, from)
	}
	result, err := unpack.Tar(stream, path.Base(from), x.opts.Dst, contents)
	if refused, ok := errors.AsType[*unpack.Refused](err); ok {
		if err := x.done(Copied{env.Name, result.Target, result.Files, result.Bytes}); err != nil {
			return err
		}
		// Most was copied, so this is a failure like any other: no policy refused the request.
		return &cmdutil.Error{Code: wire.CodeConflict, Sentence: refused.Error(), Hint: "Copy them as a tar (to -) when they are wanted.", Err: err}
	}
	if err != nil {
		return err
	}
	return x.done(Copied{env.Name, result.Target, result.Files, result.Bytes})
}

// toOutput writes one file as it is, a folder as a tar.
func toOutput(out io.Writer, stream io.Reader, from string) error {
	var head bytes.Buffer
	tee := &switchTee{from: stream, to: &head}
	tr := tar.NewReader(tee)
	h, err := tr.Next()
	if err != nil {
		return fmt.Errorf("read archive: %w", err)
	}
	switch h.Typeflag {
	case tar.TypeReg:
		tee.to = nil
		_, err = io.Copy(out, tr)
	case tar.TypeDir:
		_, err = io.Copy(out, io.MultiReader(&head, stream))
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

// switchTee keeps what is read as long as to is set.
type switchTee struct {
	from io.Reader
	to   *bytes.Buffer
}

func (t *switchTee) Read(p []byte) (int, error) {
	n, err := t.from.Read(p)
	if t.to != nil {
		t.to.Write(p[:n])
	}
	return n, err
}
