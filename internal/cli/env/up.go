// Package env holds the commands on environments, one file per verb.
package env

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
	"github.com/bothy-env/bothy/internal/cli/render"
	"github.com/bothy-env/bothy/internal/cli/source"
	"github.com/bothy-env/bothy/internal/client"
)

// UpOptions are the flags of up. For an empty field bothy.yaml decides, then the blueprint.
type UpOptions struct {
	Factory *cmdutil.Factory

	Blueprint, Size, Name, TTL string
	Params                     []string
	Project, PullRequest, Team string
	// Share is "nobody", "team", "tenant" or empty.
	Share string
	// Idle and QueueTimeout are durations.
	Idle, QueueTimeout string
	NoQueue, Fresh     bool
	// Env are variables, NAME=value. Secrets are files, NAME=FILE, where - is stdin.
	Env, Secrets []string
	DryRun       bool
	// Source is a directory, "none", or empty.
	Source    string
	MaxSource string
	// AllFiles also copies files that git ignores, Git the .git directory.
	AllFiles, Git bool
	// Keep keeps the environment if the copy of the source fails.
	Keep   bool
	Wait   bool
	Detach bool
}

// NewCmdUp makes `bothy up`.
func NewCmdUp(f *cmdutil.Factory, runF func(context.Context, *UpOptions) error) *cobra.Command {
	opts := &UpOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Create an environment with your working tree",
		Long: `Creates an environment and copies your working tree to its workspace.

Reads bothy.yaml from the current directory or the nearest parent within the repository. Flags override the file. The file is
optional.

The source is the directory in bothy.yaml, by default the directory of the file. Without bothy.yaml it is the current git
repository, or nothing outside of a repository. --source sets another directory. In a git repository, up copies tracked files and
new files that git does not ignore. Elsewhere it copies the whole directory. up copies links as links and leaves out .git unless
you pass --git.

If up cannot read the source, it creates nothing. If the copy fails, it deletes the environment unless you pass --keep.

If a pool keeps warm environments of the same blueprint, size and inputs, up takes one within milliseconds. Otherwise it creates
one and shows why. If there is no capacity, shows the queue position and an ETA.

Ctrl-C stops waiting. The request continues; the command prints how to cancel it. In that case up does not copy the source.

With --output json, up prints the environment once: when it is ready, or when up fails after the request.`,
		Example: `  bothy up
  bothy up --blueprint build --size small --ttl 2h --source none
  bothy up --name web --param shm_mib=128
  bothy up --env CI=1 --secret npmrc=.npmrc --idle 15m
  bothy up --project shop --pull-request 17 --queue-timeout 10m
  bothy up --size large --dry-run
  bothy up --detach --output json`,
		Args:              cmdutil.Args(0, 0, "no arguments"),
		ValidArgsFunction: cmdutil.NoComplete,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.Detach && cmd.Flags().Changed("wait") && opts.Wait {
				return cmdutil.Usagef("--wait and --detach cannot be used together")
			}
			if opts.NoQueue && opts.QueueTimeout != "" {
				return cmdutil.Usagef("--no-queue and --queue-timeout cannot be used together")
			}
			if opts.Share != "" {
				if err := cmdutil.OneOf("share", opts.Share, shares...); err != nil {
					return err
				}
			}
			opts.Detach = opts.Detach || !opts.Wait
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return upRun(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&opts.Blueprint, "blueprint", "b", "", "Blueprint `name`, or name@version (default: build)")
	flags.StringVarP(&opts.Size, "size", "s", "", "Size of the environment (default: the blueprint's default size)")
	flags.StringVarP(&opts.Name, "name", "n", "", "Name of the environment (default: generated)")
	flags.StringVar(&opts.TTL, "ttl", "", "Lease `duration`, for example 30m, 1h30m or 2d (default: the blueprint's)")
	flags.StringArrayVarP(&opts.Params, "param", "p", nil, "Blueprint input `key=value` (repeatable)")
	flags.StringVar(&opts.Idle, "idle", "", "Idle `duration` after which the lease expires (default: never). Commands, copies, touch, network traffic and more than 5 % CPU of a core count as use")
	flags.StringVar(&opts.Project, "project", "", "Project `name` for reports (default: name of the repository)")
	flags.StringVar(&opts.PullRequest, "pull-request", "", "Pull request `number` for reports")
	flags.StringVar(&opts.Team, "team", "", "Owning `team`, one of yours (default: your first)")
	flags.StringVar(&opts.Share, "share", "", "Who else may use and delete the environment and read its secrets: nobody, team or tenant (default: the organisation's)")
	flags.StringVar(&opts.QueueTimeout, "queue-timeout", "", "Maximum `duration` to wait for capacity, for example 10m (default: no limit)")
	flags.BoolVar(&opts.NoQueue, "no-queue", false, "Fail instead of waiting for capacity")
	flags.BoolVar(&opts.Fresh, "fresh", false, "Create a new environment even if a pool has a warm one")
	flags.StringArrayVarP(&opts.Env, "env", "e", nil, "Variable `NAME=value` for every command in the environment, not for secrets (repeatable)")
	flags.StringArrayVar(&opts.Secrets, "secret", nil, "Secret file in /run/bothy, `NAME=FILE`, where - reads stdin (repeatable)")
	flags.BoolVar(&opts.DryRun, "dry-run", false, "Show the cost, the start (warm or cold) and the queue position, and create nothing")
	flags.StringVar(&opts.Source, "source", "", "Source `directory` to copy to the workspace, or none (default: source in bothy.yaml, or the repository)")
	flags.StringVar(&opts.MaxSource, "max-source", "512MiB", "Maximum `size` of the source")
	flags.BoolVar(&opts.AllFiles, "all-files", false, "Copy every file of the source, including files that git ignores")
	flags.BoolVar(&opts.Git, "git", false, "Copy .git too, including its config")
	flags.BoolVar(&opts.Keep, "keep", false, "Keep the environment if the copy of the source fails")
	flags.BoolVar(&opts.Wait, "wait", true, "Wait until the environment is ready and the source is copied")
	flags.BoolVarP(&opts.Detach, "detach", "d", false, "Return when the request is accepted, without copying the source")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("blueprint", f.CompleteBlueprints(1)))
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("share", cmdutil.CompleteWords(shares...)))
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("size", f.CompleteSizes()))
	return cmd
}

func upRun(ctx context.Context, opts *UpOptions) error {
	f := opts.Factory
	// Check everything local before the request.
	want, err := opts.want(ctx)
	if err != nil {
		return interruptedAs(err, "Cancelled. Nothing was created.", "")
	}
	c, err := f.Client()
	if err != nil {
		return err
	}
	if want.tree != nil {
		if err := checkSize(ctx, c, want.tree.TarBytes(), "leave files out"); err != nil {
			return interruptedAs(err, "Cancelled. Nothing was created.", "")
		}
	}
	if opts.DryRun {
		return opts.quote(ctx, c, want)
	}
	progress := f.Progress()
	// If the display still runs on return, the command has failed. A second Stop does nothing.
	defer progress.Stop(false)
	env, took, err := opts.request(ctx, c, want, progress)
	if err != nil {
		return err
	}
	if opts.Detach {
		progress.Stop(true)
		return opts.accepted(env, want)
	}
	env, err = waitReady(ctx, c, env, progress)
	if err != nil {
		progress.Stop(false)
		return opts.failed(env, stoppedWaiting(err, env, want.tree))
	}
	if want.tree != nil {
		notes, err := upload(ctx, c, env, want.tree, progress)
		if err != nil {
			progress.Stop(false)
			err = opts.uploadFailed(ctx, c, err, &env, want.tree)
			return opts.failed(env, err)
		}
		defer warn(f, notes...)
	}
	progress.Stop(true)
	return f.Print(env, func(w io.Writer) error { return opts.summary(w, env, want, took) })
}

// request requests the environment and returns how long the daemon took to answer.
func (opts *UpOptions) request(ctx context.Context, c *client.Client, want wanted, progress render.Progress) (env wire.Environment, took time.Duration, err error) {
	f := opts.Factory
	progress.Phase("Requesting environment")
	asked := f.Now()
	env, _, err = c.Create(ctx, want.request, f.NewKey())
	if err != nil {
		progress.Stop(false)
		return env, 0, interruptedAs(want.blame(err), "Interrupted. The daemon may or may not have accepted the request.", dropUnknown(want.request.Name)...)
	}
	return env, f.Now().Sub(asked), nil
}

// failed prints the environment of a failed up as JSON: its name may be generated.
func (opts *UpOptions) failed(env wire.Environment, err error) error {
	if !opts.Factory.JSON() {
		return err
	}
	if printed := opts.Factory.Print(env, nil); printed != nil {
		return errors.Join(err, printed)
	}
	return err
}

// stoppedWaiting describes what happens to the request and the source after an interrupted up. It returns other errors unchanged.
func stoppedWaiting(err error, env wire.Environment, tree *source.Tree) error {
	next := []string{fmt.Sprintf("bothy show %s    shows its state", env.Name), fmt.Sprintf("bothy down %s    cancels the request", env.Name)}
	sentence := fmt.Sprintf("Stopped waiting. The request for %s continues.", env.Name)
	if tree != nil {
		sentence += " The source was not copied."
		next = append(next, fmt.Sprintf("%s    copies the source when %s is ready%s", copyCommand(env, tree), env.Name, copyDiffers(tree)))
	}
	return interruptedAs(err, sentence, next...)
}

// accepted prints the next steps after --detach.
func (opts *UpOptions) accepted(env wire.Environment, want wanted) error {
	f := opts.Factory
	return f.Print(env, func(w io.Writer) error {
		fmt.Fprintf(w, "Requested %s (%s, %s)\n", f.IO.Paint(iostreams.Bold, format.Clean(env.Name)), blueprintName(env), format.Clean(env.Size.Name))
		fmt.Fprintf(w, "  status  bothy show %s\n  delete  bothy down %[1]s\n", format.Clean(env.Name))
		if want.tree != nil {
			fmt.Fprintf(w, "  source  not copied. When %s is ready: %s%s\n", format.Clean(env.Name), format.Clean(copyCommand(env, want.tree)), copyDiffers(want.tree))
		}
		return nil
	})
}

// phases names what happens to an environment in a state that does not last.
var phases = map[string]string{"pending": "Waiting for capacity", "provisioning": "Creating environment", "warm": "Preparing environment"}

// waitReady follows the environment until the hand-over and returns its last known form. A warm environment is handed over already.
func waitReady(ctx context.Context, c *client.Client, env wire.Environment, progress render.Progress) (wire.Environment, error) {
	if env.State == "leased" {
		return env, nil
	}
	if env.Cold != "" {
		progress.Detail("cold start: " + env.Cold)
	}
	ready := errors.New("ready")
	var reason string
	var waiting place
	err := c.Watch(ctx, client.ID(env.ID), 0, func(u wire.Update) error {
		env = u.Environment
		over := env.State == "leased" || env.State == "failed" || env.State == "destroying" || env.State == "destroyed"
		if !over {
			progress.Phase(cmp.Or(phases[env.State], env.State))
		}
		waiting.show(env.Queue, progress)
		// The event that ends a phase is shown as part of that phase.
		for _, e := range u.Events {
			progress.Detail(e.Message)
		}
		switch {
		case env.State == "leased":
			return ready
		case over:
			return failure(env)
		}
		if env.Reason != reason {
			reason = env.Reason
			progress.Detail(reason)
		}
		return nil
	})
	switch {
	case errors.Is(err, ready):
		return env, nil
	case err == nil:
		return env, failure(env)
	}
	return env, err
}

// failure returns the error of an environment that will not become ready.
func failure(env wire.Environment) error {
	e := &cmdutil.Error{
		Code:     wire.CodeProvision,
		Sentence: env.Name + " was deleted before it was ready",
		Hint:     fmt.Sprintf("bothy logs %s    shows the full log", env.Name),
		Next:     []string{fmt.Sprintf("bothy down %s    deletes the environment", env.Name)},
	}
	if env.Failure == nil && env.State != "failed" {
		e.Next = nil
		return e
	}
	cause := env.Reason
	if env.Failure != nil {
		e.Code, cause = env.Failure.Code, env.Failure.Sentence
		if hint := env.Failure.Hint; hint != "" {
			e.Hint, e.Next = hint, append([]string{e.Hint}, e.Next...)
		}
	}
	e.Sentence = fmt.Sprintf("cannot create environment %s: %s", env.Name, cause)
	return e
}

// interruptedAs replaces the error of a signal by one with this sentence and these steps. It returns other errors unchanged.
func interruptedAs(err error, sentence string, next ...string) error {
	signal, ok := errors.AsType[cmdutil.Interrupted](err)
	if !ok {
		return err
	}
	return &cmdutil.Error{Code: cmdutil.CodeInterrupted, Sentence: sentence, Hint: next[0], Next: next[1:], Err: signal}
}

// dropUnknown returns the steps to cancel a request that the daemon may have accepted; name is "" if the daemon generates it.
func dropUnknown(name string) []string {
	if name == "" {
		return []string{"bothy ls    lists the environment and its name if so", "bothy down NAME    deletes it"}
	}
	return []string{fmt.Sprintf("bothy ls    lists %s if so", name), fmt.Sprintf("bothy down %s    deletes it", name)}
}

// summary prints how to use the environment, when it expires, and its cost.
func (opts *UpOptions) summary(w io.Writer, env wire.Environment, want wanted, took time.Duration) error {
	f := opts.Factory
	name := format.Clean(env.Name)
	warm := ""
	if env.Claimed {
		warm = fmt.Sprintf(", warm from pool %s in %d ms", format.Clean(env.Pool), took.Milliseconds())
	}
	fmt.Fprintf(w, "\n%s is ready: %s, %s%s\n\n", f.IO.Paint(iostreams.Bold, name), blueprintName(env), env.Size.Name, warm)
	rows := [][]string{
		{"  shell", at(env) + " shell " + name},
		{"  run", at(env) + " exec " + name + " -- make"},
	}
	if env.DaemonAddress != "" {
		rows = append(rows, []string{"  at", "another daemon serves host " + format.Clean(env.Host) + ": pass --host as above to shell, exec, cp and logs"})
	}
	if want.tree != nil {
		rows = append(rows, []string{"  source", opts.described(want.tree) + ", in " + env.Workspace})
	}
	if env.Cold != "" {
		rows = append(rows, []string{"  start", cold(env)})
	}
	if with := shared(env); with != "" && env.Share != "nobody" {
		rows = append(rows, []string{"  shared", "with " + with + ": they may use and delete it. To stop sharing: " + at(env) + " share " + name + " --with nobody"})
	}
	if len(env.Secrets) > 0 {
		rows = append(rows, []string{"  secrets", format.Clean(strings.Join(env.Secrets, ", ")) + ", in /run/bothy"})
	}
	if env.Lease.End != nil {
		rows = append(rows, []string{"  expires", fmt.Sprintf("in %s, %s", format.Duration(time.Duration(env.Lease.LeftSeconds)*time.Second), localTime(f, *env.Lease.End))})
	}
	if idle := env.Lease.IdleSeconds; idle > 0 {
		rows = append(rows, []string{"  idle", "expires after " + format.Duration(time.Duration(idle)*time.Second) + " without use"})
	}
	rows = append(rows, []string{"  cost", fmt.Sprintf("%s, %s at expiry", format.Rate(env.Cost.RateMicrosPerHour, env.Cost.Currency), format.Money(env.Cost.AtExpiryMicros, env.Cost.Currency))})
	return format.Table(w, rows)
}
