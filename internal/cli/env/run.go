package env

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/source"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/delivery/project"
)

// RunOptions are the flags of run.
type RunOptions struct {
	// UpOptions are those of the environment.
	UpOptions
	// Step is the last step to run, "" for all.
	Step string
	// List shows the steps and runs none.
	List bool
	// KeepOnFailure keeps the environment if a step fails.
	KeepOnFailure bool
}

// Run is what run prints with --output json.
type Run struct {
	Environment string `json:"environment,omitempty"`
	// Kind is the kind of project, RecognisedBy the file that shows it, Others further kinds that the project could be.
	Kind         string    `json:"kind"`
	RecognisedBy string    `json:"recognised_by"`
	Others       []string  `json:"others,omitempty"`
	Steps        []RunStep `json:"steps"`
	// Kept says that the environment still exists.
	Kept bool `json:"kept,omitempty"`
}

// RunStep is a step of a Run.
type RunStep struct {
	Name string `json:"name"`
	Run  string `json:"run"`
	// Outcome is "passed", "failed", "interrupted" (it did not end by itself) or "not_run".
	Outcome  string  `json:"outcome"`
	ExitCode *int    `json:"exit_code,omitempty"`
	Seconds  float64 `json:"seconds,omitempty"`
}

// The outcomes of a step.
const (
	stepPassed      = "passed"
	stepFailed      = "failed"
	stepInterrupted = "interrupted"
	stepNotRun      = "not_run"
)

// NewCmdRun makes `bothy run`.
func NewCmdRun(f *cmdutil.Factory, runF func(context.Context, *RunOptions) error) *cobra.Command {
	opts := &RunOptions{UpOptions: UpOptions{Factory: f, Wait: true}}
	cmd := &cobra.Command{
		Use:   "run [STEP]",
		Short: "Build and test your working tree",
		Long: `Creates an environment, copies your working tree to it, builds and tests it there, and deletes the environment.

bothy recognises the kind of project by its files and runs the usual steps of that kind: Debian packages, Go, Python, CMake, Meson,
Autotools, Node and make. It needs no configuration. With STEP it runs the steps up to that one. --list shows the kind and the
steps, and creates nothing.

run stops at the first step that fails and exits with the exit code of that step. It deletes the environment in any case unless you
pass --keep or --keep-on-failure. The steps' output goes to stdout and stderr, with --output json all of it to stderr.

run uses bothy.yaml like up, except for its name: several runs of a repository can go side by side.`,
		Example: `  bothy run
  bothy run --list
  bothy run test
  bothy run --size large --keep-on-failure`,
		Args:              cmdutil.Args(0, 1, "at most one step"),
		ValidArgsFunction: cmdutil.NoComplete,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				opts.Step = args[0]
			}
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return runRun(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&opts.List, "list", "l", false, "Show the kind of project and its steps, and create nothing")
	flags.StringVarP(&opts.Blueprint, "blueprint", "b", "", "Blueprint `name`, or name@version (default: build)")
	flags.StringVarP(&opts.Size, "size", "s", "", "Size of the environment (default: the blueprint's default size)")
	flags.StringVar(&opts.TTL, "ttl", "", "Lease `duration`, which limits the run (default: the blueprint's)")
	flags.StringVar(&opts.Project, "project", "", "Project `name` for reports (default: name of the repository)")
	flags.StringVar(&opts.PullRequest, "pull-request", "", "Pull request `number` for reports")
	flags.StringVar(&opts.Team, "team", "", "Owning `team`, one of yours (default: your first)")
	flags.StringArrayVarP(&opts.Env, "env", "e", nil, "Variable `NAME=value` for every step, not for secrets (repeatable)")
	flags.StringArrayVar(&opts.Secrets, "secret", nil, "Secret file in /run/bothy, `NAME=FILE`, where - reads stdin (repeatable)")
	flags.StringVar(&opts.Source, "source", "", "Source `directory` (default: source in bothy.yaml, or the repository)")
	flags.StringVar(&opts.MaxSource, "max-source", "512MiB", "Maximum `size` of the source")
	flags.BoolVar(&opts.AllFiles, "all-files", false, "Copy every file of the source, including files that git ignores")
	flags.BoolVar(&opts.Git, "git", false, "Copy .git too, including its config")
	flags.BoolVar(&opts.Keep, "keep", false, "Keep the environment")
	flags.BoolVar(&opts.KeepOnFailure, "keep-on-failure", false, "Keep the environment if a step or the copy of the source fails")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("blueprint", f.CompleteBlueprints(1)))
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("size", f.CompleteSizes()))
	return cmd
}

func runRun(ctx context.Context, opts *RunOptions) error {
	ctx, stop := whileWanted(ctx)
	defer stop()
	f := opts.Factory
	want, err := opts.want(ctx)
	if err != nil {
		return interruptedAs(err, "Cancelled. Nothing was created.", "")
	}
	if want.tree == nil {
		return cmdutil.Usagef("no source to build: pass --source, or run bothy in a git repository").WithHint("bothy run --source .")
	}
	want.request.Name = "" // or a second run would be refused, and the first of an environment that is up
	run, steps, err := opts.recognise(want.tree)
	if err != nil {
		return err
	}
	if opts.List {
		return f.Print(run, func(w io.Writer) error { return listSteps(w, run) })
	}
	c, err := f.Client()
	if err != nil {
		return err
	}
	if err := checkSize(ctx, c, want.tree.TarBytes(), "leave files out"); err != nil {
		return interruptedAs(err, "Cancelled. Nothing was created.", "")
	}
	f.Note("%s project, by %s: %s", run.Kind, format.Clean(run.RecognisedBy), strings.Join(names(run.Steps), ", "))
	env, failed := opts.prepare(ctx, c, want)
	if env.ID == "" {
		return failed
	}
	run.Environment = env.Name
	if failed == nil {
		failed = opts.steps(ctx, c, env, run.Steps, steps)
	}
	run.Kept = opts.Keep || failed != nil && opts.KeepOnFailure
	if err := opts.leave(ctx, c, env, run.Kept); err != nil {
		run.Kept = true
		if failed == nil {
			failed = err
		} else {
			f.ShowError(err)
		}
	}
	if f.JSON() {
		failed = errors.Join(failed, f.Print(run, nil))
	}
	return failed
}

// whileWanted returns a context that also ends when the terminal or the reader of the output goes away, which would end the process
// before it has deleted the environment.
func whileWanted(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGPIPE)
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		signal.Notify(caught, syscall.SIGHUP)
	}
	go func() {
		select {
		case s := <-caught:
			cancel(cmdutil.Interrupted{Signal: s})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(caught)
		cancel(nil)
	}
}

// recognise returns the steps to run and the Run in which none has run. It sees the files that are copied and no others.
func (opts *RunOptions) recognise(tree *source.Tree) (Run, []project.Step, error) {
	found, err := project.Recognise(onlyCopied(tree))
	if err != nil {
		e := &cmdutil.Error{Code: wire.CodeInvalid, Sentence: err.Error(), Err: err}
		if errors.Is(err, project.ErrUnknown) {
			e.Hint = "bothy up, then bothy exec ENV -- COMMAND    runs any command"
		}
		return Run{}, nil, e
	}
	first := found[0]
	steps := first.Steps
	if opts.Step != "" {
		last := slices.IndexFunc(steps, func(s project.Step) bool { return s.Name == opts.Step })
		if last < 0 {
			return Run{}, nil, cmdutil.Usagef("no step %q in a %s project", opts.Step, first.Kind).WithHint("bothy run --list    shows the steps")
		}
		steps = steps[:last+1]
	}
	run := Run{Kind: string(first.Kind), RecognisedBy: first.Why, Steps: []RunStep{}}
	for _, other := range found[1:] {
		run.Others = append(run.Others, string(other.Kind))
	}
	for _, s := range steps {
		run.Steps = append(run.Steps, RunStep{Name: s.Name, Run: s.Run, Outcome: stepNotRun})
	}
	return run, steps, nil
}

// copied is a directory of which only the entries of a source tree exist.
type copied struct {
	fs.FS
	has map[string]bool
}

func onlyCopied(tree *source.Tree) copied {
	c := copied{os.DirFS(tree.Dir), map[string]bool{".": true}}
	for _, e := range tree.Entries {
		for name := e.Path; !c.has[name]; name = path.Dir(name) {
			c.has[name] = true
		}
	}
	return c
}

// Open implements fs.FS.
func (c copied) Open(name string) (fs.File, error) {
	if !c.has[name] {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return c.FS.Open(name)
}

// Stat implements fs.StatFS. Without it fs.Stat would open the file, and not return for a link to a pipe.
func (c copied) Stat(name string) (fs.FileInfo, error) {
	if !c.has[name] {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return fs.Stat(c.FS, name)
}

// ReadDir implements fs.ReadDirFS.
func (c copied) ReadDir(dir string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(c.FS, dir)
	return slices.DeleteFunc(all, func(e fs.DirEntry) bool { return !c.has[path.Join(dir, e.Name())] }), err
}

func names(steps []RunStep) (all []string) {
	for _, s := range steps {
		all = append(all, s.Name)
	}
	return all
}

func listSteps(w io.Writer, run Run) error {
	fmt.Fprintf(w, "%s project, by %s\n", run.Kind, format.Clean(run.RecognisedBy))
	if len(run.Others) > 0 {
		fmt.Fprintf(w, "also looks like: %s\n", strings.Join(run.Others, ", "))
	}
	var rows [][]string
	for _, s := range run.Steps {
		rows = append(rows, []string{"  " + s.Name, s.Run})
	}
	return format.Table(w, rows)
}

// prepare creates the environment and copies the source. The environment has an ID if there is one to delete, also with an error.
func (opts *RunOptions) prepare(ctx context.Context, c *client.Client, want wanted) (wire.Environment, error) {
	f := opts.Factory
	progress := f.Progress()
	defer progress.Stop(false)
	env, _, err := opts.request(ctx, c, want, progress)
	if err != nil {
		return wire.Environment{}, err
	}
	if env, err = waitReady(ctx, c, env, progress); err != nil {
		progress.Stop(false)
		return env, beforeSteps(err)
	}
	notes, err := upload(ctx, c, env, want.tree, progress)
	if err != nil {
		progress.Stop(false)
		p := cmdutil.ProblemOf(err)
		return env, beforeSteps(&cmdutil.Error{Code: p.Code, Sentence: "cannot copy source: " + p.Detail, Hint: p.Hint, Err: err})
	}
	progress.Stop(true)
	warn(f, notes...)
	return env, nil
}

// beforeSteps returns an error without the next steps that are for an environment that stays.
func beforeSteps(err error) error {
	err = interruptedAs(err, "Interrupted before the first step.", "")
	if e, ok := errors.AsType[*cmdutil.Error](err); ok {
		cut := *e
		cut.Next = nil
		return &cut
	}
	return err
}

// steps runs the steps in order until one fails, and notes their outcomes in done.
func (opts *RunOptions) steps(ctx context.Context, c *client.Client, env wire.Environment, done []RunStep, steps []project.Step) error {
	f := opts.Factory
	for i, s := range steps {
		f.Note("\n==> %s: %s", s.Name, s.Run)
		start := wire.ExecStart{Command: []string{"sh", "-c", s.Run}}
		if s.Root {
			start.User = "root"
		}
		var ended *wire.ExecEnded
		streams := opts.streams()
		streams.Ended = func(r wire.ExecResult) { ended = r.Ended }
		began := f.Now()
		code, err := c.Exec(ctx, client.ID(env.ID), start, streams)
		took := f.Now().Sub(began)
		done[i].Seconds = took.Seconds()
		if err != nil {
			done[i].Outcome = stepInterrupted
			return interruptedAs(err, "Interrupted in step "+s.Name+".", "")
		}
		done[i].ExitCode = &code
		if code == 0 {
			done[i].Outcome = stepPassed
			f.Note("==> %s passed in %s", s.Name, strings.TrimSpace(format.Elapsed(took)))
			continue
		}
		done[i].Outcome = stepFailed
		f.Note("==> %s failed with exit code %d after %s", s.Name, code, strings.TrimSpace(format.Elapsed(took)))
		if ended != nil {
			tellEnded(f, env.Name, *ended)
		}
		return cmdutil.Exit(code)
	}
	return nil
}

// streams returns where the output of steps goes: unchanged, but on a terminal, on which the code that is built must not act.
func (opts *RunOptions) streams() client.ExecStreams {
	guarded, raw := opts.Factory.IO, opts.Factory.IO.Raw()
	out, errs := raw.Out, raw.Err
	if guarded.OutTTY {
		out = guarded.Out
	}
	if guarded.ErrTTY {
		errs = guarded.Err
	}
	if opts.Factory.JSON() {
		out = errs
	}
	return client.ExecStreams{Stdout: out, Stderr: errs}
}

// leave deletes the environment, or says how to use and delete it.
func (opts *RunOptions) leave(ctx context.Context, c *client.Client, env wire.Environment, keep bool) error {
	f := opts.Factory
	name := format.Clean(env.Name)
	if keep {
		f.Note("\nKept %s. To look into it: %s shell %s. To delete it: bothy down %s", name, at(env), name, name)
		return nil
	}
	if env.State == "destroying" || env.State == "destroyed" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	if _, err := c.Release(ctx, client.ID(env.ID)); err != nil {
		p := cmdutil.ProblemOf(err)
		return &cmdutil.Error{
			Code: p.Code, Sentence: fmt.Sprintf("cannot delete environment %s: %s", env.Name, p.Detail), Hint: fmt.Sprintf("bothy down %s    deletes it", env.Name), Err: err,
		}
	}
	f.Note("\nDeleting %s", name)
	return nil
}
