package env

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/render"
	"github.com/bothy-env/bothy/internal/cli/source"
	"github.com/bothy-env/bothy/internal/cli/specfile"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/spec"
)

// wanted is what up asks for: the spec with the flags over it, and the files to copy (nil for none).
type wanted struct {
	request wire.CreateRequest
	tree    *source.Tree
}

// want puts spec and flags together and finds the source's files.
func (opts *UpOptions) want(ctx context.Context) (wanted, error) {
	limit, err := format.ParseBytes(opts.MaxSource)
	if err != nil {
		return wanted{}, cmdutil.Usagef("--max-source: %w", err)
	}
	s, found, err := specfile.Find(".")
	if err != nil {
		return wanted{}, err
	}
	r := wire.CreateRequest{
		Blueprint: first(opts.Blueprint, s.Blueprint), Size: first(opts.Size, s.Size), Name: first(opts.Name, s.Name),
		Inputs: maps.Clone(s.Params),
	}
	if opts.Blueprint != "" && opts.Blueprint != s.Blueprint {
		// Another blueprint has other inputs and sizes than those that the spec was written for.
		r.Size, r.Inputs = opts.Size, nil
	}
	if err := opts.params(&r); err != nil {
		return wanted{}, err
	}
	if r.TTLSeconds, err = opts.ttl(s.TTL); err != nil {
		return wanted{}, err
	}
	dir, err := opts.sourceDir(s, found)
	if err != nil {
		return wanted{}, err
	}
	if found {
		r.Project = projectOf(filepath.Dir(s.File))
	} else if dir != "" {
		r.Project = projectOf(dir)
	}
	if dir == "" {
		if opts.Source == "" && !found {
			opts.Factory.Note("no bothy.yaml and no repository here: nothing is copied (--source . copies this folder)")
		}
		return wanted{request: r}, nil
	}
	tree, err := source.List(ctx, dir)
	if err != nil {
		return wanted{}, sourceFault(err)
	}
	if err := tree.Check(limit, format.Bytes); err != nil {
		return wanted{}, &cmdutil.Error{Code: wire.CodeTooLarge, Sentence: err.Error(), Hint: "Let .gitignore leave them out, or raise --max-source.", Err: err}
	}
	for _, s := range tree.Skipped {
		opts.Factory.Note("not copied: %s is no file, folder or link", format.Clean(s))
	}
	return wanted{request: r, tree: &tree}, nil
}

// params adds --param to the inputs. Their types are the daemon's to check: it knows the blueprint.
func (opts *UpOptions) params(r *wire.CreateRequest) error {
	for _, p := range opts.Params {
		key, value, found := strings.Cut(p, "=")
		if !found || key == "" {
			return cmdutil.Usagef("--param: got %q, want key=value", p)
		}
		if r.Inputs == nil {
			r.Inputs = map[string]any{}
		}
		r.Inputs[key] = value
	}
	return nil
}

// ttl is that of the flag, else the spec's, nil for the blueprint's.
func (opts *UpOptions) ttl(ofSpec time.Duration) (*int64, error) {
	d := ofSpec
	if opts.TTL != "" {
		var err error
		if d, err = parseTTL("ttl", opts.TTL); err != nil {
			return nil, err
		}
	}
	if d == 0 {
		return nil, nil
	}
	return new(int64(d / time.Second)), nil
}

// sourceDir is the folder to copy, "" for none.
func (opts *UpOptions) sourceDir(s spec.Spec, found bool) (string, error) {
	switch {
	case opts.Source == spec.NoSource:
		return "", nil
	case opts.Source != "":
		return opts.Source, nil
	case !found:
		return source.Repository("."), nil
	}
	dir, err := s.SourceDir()
	return dir, specfile.Fault(err)
}

// projectOf is the name of the repository that dir is in, else dir's own.
func projectOf(dir string) string {
	if repo := source.Repository(dir); repo != "" {
		return filepath.Base(repo)
	}
	abs, err := filepath.Abs(dir)
	if err != nil || abs == "/" {
		return ""
	}
	return filepath.Base(abs)
}

func sourceFault(err error) error {
	if _, ok := errors.AsType[cmdutil.Interrupted](err); ok {
		return err
	}
	return &cmdutil.Error{Code: wire.CodeInvalid, Sentence: err.Error(), Hint: "Let .gitignore leave it out, or take --source none.", Err: err}
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// upload streams the tree to the environment's workspace.
func upload(ctx context.Context, c *client.Client, env wire.Environment, tree *source.Tree, progress render.Progress) error {
	progress.Phase("copying source")
	r, w := io.Pipe()
	go func() {
		w.CloseWithError(tree.WriteTar(ctx, w, "", func(done int64) { progress.Bytes(done, tree.Bytes) }))
	}()
	err := c.CopyTo(ctx, env.ID, env.Workspace, "", r)
	// Ends the writer when the daemon did not read to the end.
	_ = r.CloseWithError(io.ErrClosedPipe)
	return err
}

// uploadFailed says that the environment stands all the same.
func uploadFailed(err error, env wire.Environment, dir string) error {
	next := fmt.Sprintf("%s is ready without the source; to copy it: bothy cp %s/. %[1]s:", env.Name, dir)
	if _, ok := errors.AsType[cmdutil.Interrupted](err); ok {
		return interruptedAs(err, "The copy of the source was cut off", next)
	}
	p := cmdutil.ProblemOf(err)
	if p.Hint != "" {
		next = p.Hint + "\n" + next
	}
	return &cmdutil.Error{Code: p.Code, Sentence: "copy source: " + p.Detail, Hint: next, Err: err}
}
