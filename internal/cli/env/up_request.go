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

// wanted is the request of up, the spec overridden by flags, and the files to copy (nil for none).
type wanted struct {
	request wire.CreateRequest
	tree    *source.Tree
	// places are the places in the spec of the values that no flag overrides, by key path in the request.
	places map[string]wire.FilePlace
}

// want merges spec and flags and lists the files of the source.
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
		// The spec's size and inputs are for the spec's blueprint.
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
		return wanted{}, &cmdutil.Error{Code: wire.CodeTooLarge, Sentence: err.Error(), Hint: "exclude files with .gitignore, or raise --max-source", Err: err}
	}
	warn(opts.Factory, tree.Notes()...)
	want.tree = &tree
	return want, nil
}

// noSpec notes that there is no bothy.yaml, what applies instead, and which file further up is not used; dir is the directory to
// copy, "" for none. The file further up may be anybody's, as in /tmp, so up never uses it.
func (opts *UpOptions) noSpec(dir string) {
	f := opts.Factory
	if opts.Source == "" && dir == "" {
		f.Note("no bothy.yaml and no git repository: using flags and defaults, copying no source (--source . copies this directory)")
	} else {
		f.Note("no bothy.yaml: using flags and defaults")
	}
	if above := bothyspec.Above("."); above != "" {
		above = format.Clean(above)
		f.Note("not using %s: it is not in the same git repository as this directory (to use it, run bothy in %s)", above, filepath.Dir(above))
	}
}

// params adds --param to the inputs.
func (opts *UpOptions) params(r *wire.CreateRequest) error {
	given, err := cmdutil.Inputs(opts.Params)
	r.Inputs = over(r.Inputs, given)
	return err
}

// spans sets the durations: from flags, then the spec. If neither sets one, the daemon's default applies.
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

// over merges given over ofSpec; nil if both are empty.
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

// maxSecrets limits all secrets of a request together, in bytes.
const maxSecrets = 512 << 10

// secrets reads the files of --secret. Nothing ever shows their content, errors included.
func (opts *UpOptions) secrets(ctx context.Context) (map[string][]byte, error) {
	if len(opts.Secrets) == 0 {
		return nil, nil
	}
	all, total := map[string][]byte{}, 0
	input := false
	for _, s := range opts.Secrets {
		name, file, found := strings.Cut(s, "=")
		if !found || name == "" || file == "" {
			return nil, cmdutil.Usagef("--secret: got %q, want NAME=FILE, or NAME=- for stdin", name)
		}
		if _, twice := all[name]; twice {
			return nil, cmdutil.Usagef("--secret: got %s twice", name)
		}
		if file == "-" && input {
			return nil, cmdutil.Usagef("--secret: only one secret can read stdin")
		}
		input = input || file == "-"
		data, err := opts.readSecret(ctx, name, file)
		if err != nil {
			return nil, local("cannot read secret "+name, err)
		}
		if total += len(data); total > maxSecrets {
			return nil, &cmdutil.Error{Code: wire.CodeTooLarge, Sentence: fmt.Sprintf("cannot send secrets: they exceed %s in total", format.Bytes(maxSecrets)), Hint: "copy other files with bothy cp"}
		}
		all[name] = data
	}
	return all, nil
}

// readSecret reads a file, or stdin, up to one byte over the limit. It does not echo what the user types.
func (opts *UpOptions) readSecret(ctx context.Context, name, file string) ([]byte, error) {
	if file == "-" {
		streams := opts.Factory.IO
		show, err := streams.Hide()
		if err != nil {
			return nil, err
		}
		defer show()
		if streams.InTTY {
			opts.Factory.Errf("Secret %s (not shown, end with Enter and Ctrl-D):\n", format.Clean(name))
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

// sourceDir returns the directory to copy, "" for none.
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

// projectOf returns the name of the repository of dir, otherwise the name of dir.
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
