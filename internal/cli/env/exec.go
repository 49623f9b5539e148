package env

import (
	"context"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
)

// ExecOptions are the flags of exec and shell.
type ExecOptions struct {
	Factory *cmdutil.Factory
	Name    string
	Command []string

	User, Dir string
	Env       []string
	TTY       bool
	Detach    bool
	// Interactive is true with -i, false with --interactive=false, otherwise nil.
	Interactive *bool
}

// NewCmdExec makes `bothy exec`.
func NewCmdExec(f *cmdutil.Factory, runF func(context.Context, *ExecOptions) error) *cobra.Command {
	opts := &ExecOptions{Factory: f}
	var interactive bool
	cmd := &cobra.Command{
		Use:   "exec ENV -- COMMAND [ARG...]",
		Short: "Run a command in an environment",
		Long: `Runs a command in an environment and exits with its exit code.

Keeps stdout and stderr separate unless you pass --tty. Forwards stdin when it is a file or a pipe; use --interactive to forward
a terminal. Runs the command without a shell. For pipes and variables use sh -c.

Forwards the signals INT, TERM, HUP and QUIT. The first Ctrl-C goes to the command, the second one ends it. If a command exits
with 137, bothy prints the reason on stderr: out of memory, the lease expired, or a kill.

With --detach the command runs in the background. bothy prints its process id and its output file in the environment, and exits.
The file is /tmp/bothy-exec-*.log, its last line is the exit code. Stdin is empty. The command ends when the lease expires. It
keeps the environment from being idle while it works (see up --idle).

Without --detach the command ends when bothy exits. Ctrl-Z suspends bothy for up to an hour: the command continues, and blocks
when its output buffer is full. Continue with fg. If bothyd hears nothing from bothy for 45 s, for example because your machine
sleeps, it ends the command. Use --detach for commands that must survive that.`,
		Example: `  bothy exec web -- make test
  bothy exec web -u root -- apt-get install -y jq
  bothy exec web -e CI=1 -w /workspace/src -- sh -c 'go build ./... && ls'
  bothy exec web -- tar x < src.tar
  bothy exec web --detach -- make nightly`,
		ValidArgsFunction: f.CompleteEnvironments(1, false),
		Args: func(cmd *cobra.Command, args []string) error {
			if dash := cmd.ArgsLenAtDash(); len(args) < 2 || args[0] == "" || (dash >= 0 && dash != 1) {
				return cmdutil.Usagef("bothy exec: want an environment name, --, and a command").WithHint("bothy exec ENV -- make")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Name, opts.Command = args[0], args[1:]
			if cmd.Flags().Changed("interactive") {
				opts.Interactive = &interactive
			}
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return execRun(cmd.Context(), opts)
		},
	}
	addExecFlags(cmd, opts)
	flags := cmd.Flags()
	flags.StringArrayVarP(&opts.Env, "env", "e", nil, "Variable `NAME=value` for the command, or NAME to forward the local value (repeatable)")
	flags.BoolVarP(&opts.TTY, "tty", "t", false, "Allocate a terminal, which merges stdout and stderr")
	flags.BoolVarP(&opts.Detach, "detach", "d", false, "Run the command in the background, with its output in a file in the environment")
	flags.BoolVarP(&interactive, "interactive", "i", false, "Forward stdin from a terminal too (=false forwards nothing)")
	return cmd
}

// addExecFlags adds the flags that exec and shell share.
func addExecFlags(cmd *cobra.Command, opts *ExecOptions) {
	cmd.Flags().StringVarP(&opts.User, "user", "u", "", "Run as `user`, one of the users in bothy show (default: the first)")
	cmd.Flags().StringVarP(&opts.Dir, "workdir", "w", "", "Working `directory` in the environment (default: the workspace)")
}

func execRun(ctx context.Context, opts *ExecOptions) error {
	f := opts.Factory
	if opts.Detach && (opts.TTY || opts.Interactive != nil && *opts.Interactive) {
		return cmdutil.Usagef("--detach cannot be used with --tty or --interactive: a background command has no terminal and no stdin").WithHint("omit --tty and --interactive")
	}
	start := wire.ExecStart{Command: opts.Command, User: opts.User, Dir: opts.Dir, TTY: opts.TTY, Stdin: !f.IO.InTTY}
	if opts.Interactive != nil {
		start.Stdin = *opts.Interactive
	}
	for _, v := range opts.Env {
		name, _, given := strings.Cut(v, "=")
		if name == "" {
			return cmdutil.Usagef("--env: got %q, want NAME=value or NAME", v)
		}
		if !given {
			value, set := os.LookupEnv(name)
			if !set {
				continue
			}
			v = name + "=" + value
		}
		start.Env = append(start.Env, v)
	}
	if opts.Detach {
		return detach(ctx, f, opts.Name, start)
	}
	return attach(ctx, f, opts.Name, start)
}
