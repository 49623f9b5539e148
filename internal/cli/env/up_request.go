package env

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/source"
	"github.com/bothy-env/bothy/internal/cli/spec"
	bothyspec "github.com/bothy-env/bothy/internal/spec"
)

// wanted is what up asks for: the spec with the flags over it, and the files to copy (nil for none).
type wanted struct {
	request wire.CreateRequest
	tree    *source.Tree
	// places tells where what is asked for stands in the spec, for what no flag said, by its key path in the request.
	places map[string]wire.FilePlace
}

// want puts spec and flags together and finds the source's files.
func (opts *UpOptions) want(ctx context.Context) (wanted, error) {
	limit, err := format.ParseBytes(opts.MaxSource)
	if err != nil {
		return wanted{}, cmdutil.Usagef("--max-source: %w", err)
	}
	s, found, err := spec.Find(".")
	if err != nil {
		return wanted{}, err
	}
	r := wire.CreateRequest{
		Blueprint: first(opts.Blueprint, s.Blueprint), Size: first(opts.Size, s.Size), Name: first(opts.Name, s.Name),
		Team: opts.Team, Share: first(opts.Share, s.Share), PullRequest: opts.PullRequest, NoQueue: opts.NoQueue, NoPool: opts.Fresh,
		Inputs: maps.Clone(s.Params), Vars: maps.Clone(s.Env),
	}
	if opts.Blueprint != "" && opts.Blueprint != s.Blueprint {
		// Another blueprint has other inputs and sizes than those that the spec was written for.
		r.Size, r.Inputs = opts.Size, nil
	}
	if err := opts.params(&r); err != nil {
		return wanted{}, err
	}
	if err := opts.spans(&r, s); err != nil {
		return wanted{}, err
	}
	if err := opts.vars(&r); err != nil {
		return wanted{}, err
	}
	if r.Secrets, err = opts.secrets(ctx); err != nil {
		return wanted{}, err
	}
	dir, err := opts.sourceDir(s, found)
	if err != nil {
		return wanted{}, err
	}
	switch {
	case opts.Project != "":
		r.Project = opts.Project
	case found:
		r.Project = projectOf(filepath.Dir(s.File))
	case dir != "":
		r.Project = projectOf(dir)
	}
	if !found {
		opts.noSpec(dir)
	}
	want := wanted{request: r, places: opts.places(s, r)}
	if dir == "" {
		return want, nil
	}
	tree, err := source.List(ctx, dir, source.Options{AllFiles: opts.AllFiles, History: opts.Git})
	if err != nil {
		return wanted{}, sourceFault(err, upHints(dir))
	}
	if err := tree.Check(limit, format.Bytes); err != nil {
		return wanted{}, &cmdutil.Error{Code: wire.CodeTooLarge, Sentence: err.Error(), Hint: "Let .gitignore leave them out, or raise --max-source.", Err: err}
	}
	warn(opts.Factory, tree.Notes()...)
	want.tree = &tree
	return want, nil
}

// noSpec tells that there is no bothy.yaml, what holds instead, and where one lies that is left out; dir is the folder to
// copy, "" for none. That one may be anybody's, as in /tmp, so that it is told and not taken.
func (opts *UpOptions) noSpec(dir string) {
	f := opts.Factory
	if opts.Source == "" && dir == "" {
		f.Note("no bothy.yaml and no repository here: flags and defaults say what is made, and nothing is copied (--source . copies this folder)")
	} else {
		f.Note("no bothy.yaml here: flags and defaults say what is made")
	}
	if above := bothyspec.Above("."); above != "" {
		above = format.Clean(above)
		f.Note("%s is left out: no repository holds both it and this folder (to take it: call bothy in %s, or make that a repository)", above, filepath.Dir(above))
	}
}

// params adds --param to the inputs.
func (opts *UpOptions) params(r *wire.CreateRequest) error {
	given, err := cmdutil.Inputs(opts.Params)
	r.Inputs = over(r.Inputs, given)
	return err
}

// spans fills in the durations: those of the flags, else the spec's; none for the daemon's own.
func (opts *UpOptions) spans(r *wire.CreateRequest, s bothyspec.Spec) error {
	for _, span := range []struct {
		flag, text string
		ofSpec     time.Duration
		to         **int64
	}{
		{"ttl", opts.TTL, s.TTL, &r.TTLSeconds},
		{"idle", opts.Idle, s.Idle, &r.IdleSeconds},
		{"queue-timeout", opts.QueueTimeout, 0, &r.QueueTimeoutSeconds},
	} {
		d := span.ofSpec
		if span.text != "" {
			var err error
			if d, err = cmdutil.Span(span.flag, span.text); err != nil {
				return err
			}
		}
		if d != 0 {
			*span.to = new(int64(d / time.Second))
		}
	}
	return nil
}

// vars adds --env to the variables.
func (opts *UpOptions) vars(r *wire.CreateRequest) error {
	given, err := cmdutil.Pairs("env", "NAME=value", opts.Env)
	r.Vars = over(r.Vars, given)
	return err
}

// over puts what was given over what the spec says; nil when neither says anything.
func over[V any](ofSpec, given map[string]V) map[string]V {
	if len(given) == 0 {
		return ofSpec
	}
	if ofSpec == nil {
		return given
	}
	maps.Copy(ofSpec, given)
	return ofSpec
}

// maxSecrets is the most that all secrets of a request may hold, in bytes.
const maxSecrets = 512 << 10

// secrets reads the files of --secret. What is in them is never told, in no error either.
func (opts *UpOptions) secrets(ctx context.Context) (map[string][]byte, error) {
	if len(opts.Secrets) == 0 {
		return nil, nil
	}
	all, total := map[string][]byte{}, 0
	input := false
	for _, s := range opts.Secrets {
		name, file, found := strings.Cut(s, "=")
		if !found || name == "" || file == "" {
			return nil, cmdutil.Usagef("--secret: got %q, want NAME=FILE, or NAME=- for the input", name)
		}
		if _, twice := all[name]; twice {
			return nil, cmdutil.Usagef("--secret: got %s twice", name)
		}
		if file == "-" && input {
			return nil, cmdutil.Usagef("--secret: the input can be only one of them")
		}
		input = input || file == "-"
		data, err := opts.readSecret(ctx, name, file)
		if err != nil {
			return nil, local("read secret "+name, err)
		}
		if total += len(data); total > maxSecrets {
			return nil, &cmdutil.Error{Code: wire.CodeTooLarge, Sentence: fmt.Sprintf("the secrets are over %s in all", format.Bytes(maxSecrets)), Hint: "Copy what is no secret with bothy cp."}
		}
		all[name] = data
	}
	return all, nil
}

// readSecret reads a file, or the input, up to a little more than is allowed. What is typed for it is not shown.
func (opts *UpOptions) readSecret(ctx context.Context, name, file string) ([]byte, error) {
	if file == "-" {
		streams := opts.Factory.IO
		show, err := streams.Hide()
		if err != nil {
			return nil, err
		}
		defer show()
		if streams.InTTY {
			opts.Factory.Errf("secret %s (not shown; end it with Enter and Ctrl-D):\n", format.Clean(name))
		}
		return cmdutil.Read(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(streams.In, maxSecrets+1)) })
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSecrets+1))
	return data, errors.Join(err, f.Close())
}

// sourceDir is the folder to copy, "" for none.
func (opts *UpOptions) sourceDir(s bothyspec.Spec, found bool) (string, error) {
	switch {
	case opts.Source == bothyspec.NoSource:
		return "", nil
	case opts.Source != "":
		return opts.Source, nil
	case !found:
		return source.Repository("."), nil
	}
	dir, err := s.SourceDir()
	return dir, spec.Fault(err)
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

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
