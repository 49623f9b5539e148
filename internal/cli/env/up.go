// Package env holds the commands on environments, one file per verb.
package env

import (
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

// UpOptions are the flags of up. Empty ones leave it to bothy.yaml, then to the blueprint.
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
	// Env are variables, NAME=value; Secrets are files, NAME=FILE, with - for the input.
	Env, Secrets []string
	DryRun       bool
	// Source is a folder, "none", or empty.
	Source    string
	MaxSource string
	// AllFiles copies what git ignores, too, Git the repository's .git.
	AllFiles, Git bool
	// Keep keeps an environment whose source could not be copied.
	Keep   bool
	Wait   bool
	Detach bool
}

// NewCmdUp makes `bothy up`.
func NewCmdUp(f *cmdutil.Factory, runF func(context.Context, *UpOptions) error) *cobra.Command {
	opts := &UpOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Get an environment, with your working tree in it",
		Long: `Get an environment, with your working tree in it.

What is wanted comes from bothy.yaml in this folder or above it, up to the repository's root; flags
override it, and without the file they are enough. The source is copied to the environment's workspace: what git tracks
and what is new and not ignored, or, outside of a repository, the whole folder. .git is not copied unless you pass --git. Without
bothy.yaml it is the repository that this folder is in; outside of one nothing is copied unless --source names a folder.
Links are copied as links, wherever they lead. If the source cannot be read, nothing is asked for. If it cannot be copied, the
environment is released again, unless you pass --keep.

Where a pool keeps warm environments of the same blueprint, size and inputs, one of them is yours in milliseconds. Else
one is made, and up says why. What waits for capacity is told its place in the queue and when it is expected to be ready.

Ctrl-C stops waiting. The request continues, and no source is copied; the command prints how to copy it and how to cancel.

With --output json the environment is printed once: when it is ready, or when up fails after it was asked for.`,
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
				return cmdutil.Usagef("--wait and --detach exclude each other")
			}
			if opts.NoQueue && opts.QueueTimeout != "" {
				return cmdutil.Usagef("--no-queue and --queue-timeout exclude each other")
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
	flags.StringVarP(&opts.Blueprint, "blueprint", "b", "", "blueprint to make it from, `name` or name@version (default: build)")
	flags.StringVarP(&opts.Size, "size", "s", "", "size, as the blueprint calls it (default: the blueprint's)")
	flags.StringVarP(&opts.Name, "name", "n", "", "name to call it by (default: made up)")
	flags.StringVar(&opts.TTL, "ttl", "", "how long to keep it, a `duration` such as 30m, 1h30m or 2d (default: the blueprint's)")
	flags.StringArrayVarP(&opts.Params, "param", "p", nil, "input of the blueprint, `key=value`; may be given again")
	flags.StringVar(&opts.Idle, "idle", "", "end the lease after so long without use, a `duration` such as 15m (default: never); use is a command, a copy, touch, network traffic, and work: over 5 % of a core, looked at every 30 s")
	flags.StringVar(&opts.Project, "project", "", "what it is for, a `name` (default: the repository's)")
	flags.StringVar(&opts.PullRequest, "pull-request", "", "pull request that it is for, a `number` or the forge's word")
	flags.StringVar(&opts.Team, "team", "", "`team` to ask for, one of yours (default: your first)")
	flags.StringVar(&opts.Share, "share", "", "Who may use and delete it beside you, its secrets included: nobody, team or tenant (default: the organisation's)")
	flags.StringVar(&opts.QueueTimeout, "queue-timeout", "", "give up after waiting so long for capacity, a `duration` such as 10m (default: never)")
	flags.BoolVar(&opts.NoQueue, "no-queue", false, "fail rather than wait for capacity")
	flags.BoolVar(&opts.Fresh, "fresh", false, "make a new one even if a pool has a warm one")
	flags.StringArrayVarP(&opts.Env, "env", "e", nil, "variable of every command inside, `NAME=value`, no place for secrets; may be given again")
	flags.StringArrayVar(&opts.Secrets, "secret", nil, "file of the secrets folder /run/bothy, `NAME=FILE` (- for the input); may be given again")
	flags.BoolVar(&opts.DryRun, "dry-run", false, "only say what it would get and cost, and where it would wait")
	flags.StringVar(&opts.Source, "source", "", "`folder` to copy to the workspace, or none (default: as bothy.yaml says, or the repository)")
	flags.StringVar(&opts.MaxSource, "max-source", "512MiB", "largest source to copy, a `size` such as 512MiB or 2GiB")
	flags.BoolVar(&opts.AllFiles, "all-files", false, "copy every file of the source, also those that git ignores")
	flags.BoolVar(&opts.Git, "git", false, "copy the repository's .git as well, its config included")
	flags.BoolVar(&opts.Keep, "keep", false, "keep the environment when the source cannot be copied")
	flags.BoolVar(&opts.Wait, "wait", true, "wait until it is ready and the source is copied")
	flags.BoolVarP(&opts.Detach, "detach", "d", false, "return as soon as the request is accepted; no source is copied")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("blueprint", f.CompleteBlueprints(1)))
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("share", cmdutil.CompleteWords(shares...)))
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("size", f.CompleteSizes()))
	return cmd
}

func upRun(ctx context.Context, opts *UpOptions) error {
	f := opts.Factory
	// All that can be wrong here is found before anything is asked for.
	want, err := opts.want(ctx)
	if err != nil {
		return interruptedAs(err, "Nothing was asked for", "")
	}
	c, err := f.Client()
	if err != nil {
		return err
	}
	if want.tree != nil {
		if err := checkSize(ctx, c, want.tree.TarBytes(), "leave files out"); err != nil {
			return interruptedAs(err, "Nothing was asked for", "")
		}
	}
	if opts.DryRun {
		return opts.quote(ctx, c, want)
	}
	progress := f.Progress()
	// A display that is still on when this returns ends with a failure; stopping it twice does nothing.
	defer progress.Stop(false)

	progress.Phase("asking")
	asked := f.Now()
	env, _, err := c.Create(ctx, want.request, f.NewKey())
	if err != nil {
		progress.Stop(false)
		return interruptedAs(want.blame(err), "It is not known whether the request was accepted", dropUnknown(want.request.Name)...)
	}
	if opts.Detach {
		progress.Stop(true)
		return opts.accepted(env, want)
	}
	took := f.Now().Sub(asked)
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

// failed tells machines, too, which environment an up that failed has asked for: its name may be made up.
func (opts *UpOptions) failed(env wire.Environment, err error) error {
	if !opts.Factory.JSON() {
		return err
	}
	if printed := opts.Factory.Print(env, nil); printed != nil {
		return errors.Join(err, printed)
	}
	return err
}

// stoppedWaiting says what becomes of a request whose up was interrupted, and of the source. Other errors stay as they are.
func stoppedWaiting(err error, env wire.Environment, tree *source.Tree) error {
	next := []string{fmt.Sprintf("bothy show %s    shows it", env.Name), fmt.Sprintf("bothy down %s    cancels it", env.Name)}
	sentence := fmt.Sprintf("Stopped waiting; the request for %s continues", env.Name)
	if tree != nil {
		sentence += ", and the source was not copied"
		next = append(next, fmt.Sprintf("%s    copies the source, once it is ready%s", copyCommand(env, tree), copyDiffers(tree)))
	}
	return interruptedAs(err, sentence, next...)
}

// accepted says what --detach left to be done.
func (opts *UpOptions) accepted(env wire.Environment, want wanted) error {
	f := opts.Factory
	return f.Print(env, func(w io.Writer) error {
		fmt.Fprintf(w, "%s is on its way (%s, %s)\n", f.IO.Paint(iostreams.Bold, format.Clean(env.Name)), blueprintName(env), format.Clean(env.Size.Name))
		fmt.Fprintf(w, "  see it     bothy show %s\n  give back  bothy down %[1]s\n", format.Clean(env.Name))
		if want.tree != nil {
			fmt.Fprintf(w, "  source     not copied; when it is ready: %s%s\n", format.Clean(copyCommand(env, want.tree)), copyDiffers(want.tree))
		}
		return nil
	})
}

// waitReady follows the environment until it is handed over; env is the last that was seen. One that was warm is
// handed over already.
func waitReady(ctx context.Context, c *client.Client, env wire.Environment, progress render.Progress) (wire.Environment, error) {
	if env.State == "leased" {
		return env, nil
	}
	if env.Cold != "" {
		progress.Detail("a new one is made: " + env.Cold)
	}
	ready := errors.New("ready")
	var reason string
	var waiting place
	err := c.Watch(ctx, client.ID(env.ID), 0, func(u wire.Update) error {
		env = u.Environment
		over := env.State == "leased" || env.State == "failed" || env.State == "destroying" || env.State == "destroyed"
		if !over {
			progress.Phase(env.State)
		}
		waiting.tell(env.Queue, progress)
		// What ended a phase is told as part of it.
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

// failure is the error of an environment that will not be ready.
func failure(env wire.Environment) error {
	e := &cmdutil.Error{
		Code:     wire.CodeProvision,
		Sentence: env.Name + " was given back before it was ready",
		Hint:     fmt.Sprintf("bothy logs %s    the full log", env.Name),
		Next:     []string{fmt.Sprintf("bothy down %s    give it back", env.Name)},
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
	e.Sentence = env.Name + " failed: " + cause
	return e
}

// interruptedAs gives a signal's end a sentence of its own; any other error stays as it is.
func interruptedAs(err error, sentence string, next ...string) error {
	signal, ok := errors.AsType[cmdutil.Interrupted](err)
	if !ok {
		return err
	}
	return &cmdutil.Error{Code: cmdutil.CodeInterrupted, Sentence: sentence, Hint: next[0], Next: next[1:], Err: signal}
}

// dropUnknown says how to drop a request that may have been accepted; name is "" when the daemon makes one up.
func dropUnknown(name string) []string {
	if name == "" {
		return []string{"bothy ls    shows it if it was, and its name", "bothy down NAME    drops it"}
	}
	return []string{fmt.Sprintf("bothy ls    shows %s if it was", name), fmt.Sprintf("bothy down %s    drops it", name)}
}

// summary tells how to get in, until when, and for how much.
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
		rows = append(rows, []string{"  at", "another daemon serves its host " + format.Clean(env.Host) + ": shell, exec, cp and logs are asked of it, with --host as above"})
	}
	if want.tree != nil {
		rows = append(rows, []string{"  source", opts.described(want.tree) + ", in " + env.Workspace})
	}
	if env.Cold != "" {
		rows = append(rows, []string{"  new", format.Clean(env.Cold)})
	}
	if with := shared(env); with != "" && env.Share != "nobody" {
		rows = append(rows, []string{"  shared", "with " + with + ", who may use and delete it; to end that: " + at(env) + " share " + name + " --with nobody"})
	}
	if len(env.Secrets) > 0 {
		rows = append(rows, []string{"  secrets", format.Clean(strings.Join(env.Secrets, ", ")) + ", in /run/bothy"})
	}
	if env.Lease.End != nil {
		rows = append(rows, []string{"  until", fmt.Sprintf("%s, %s from now", localTime(f, *env.Lease.End), format.Duration(time.Duration(env.Lease.LeftSeconds)*time.Second))})
	}
	if idle := env.Lease.IdleSeconds; idle > 0 {
		rows = append(rows, []string{"  idle", format.Duration(time.Duration(idle)*time.Second) + " without use end it, too"})
	}
	rows = append(rows, []string{"  cost", fmt.Sprintf("%s, %s until then", format.Rate(env.Cost.RateMicrosPerHour, env.Cost.Currency), format.Money(env.Cost.AtExpiryMicros, env.Cost.Currency))})
	return format.Table(w, rows)
}
