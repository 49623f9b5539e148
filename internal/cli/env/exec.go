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
	// Interactive is true with -i, false with --interactive=false, nil when it was not said.
	Interactive *bool
}

// NewCmdExec makes `bothy exec`.
func NewCmdExec(f *cmdutil.Factory, runF func(context.Context, *ExecOptions) error) *cobra.Command {
	opts := &ExecOptions{Factory: f}
	var interactive bool
	cmd := &cobra.Command{
		Use:   "exec ENV -- COMMAND [ARG...]",
		Short: "Run a command in an environment",
		Long: `Run a command in an environment, and end with its exit code.

Output and errors stay apart, unless there is a TTY. The command reads this one's input when that is a file or pipe, and
with -i also when it is a terminal. INT, TERM, HUP and QUIT are passed on; a second signal ends the command. No shell is
between: for pipes and variables say sh -c.`,
		Example: `  bothy exec web -- make test
  bothy exec web -u root -- apt-get install -y jq
  bothy exec web -e CI=1 -w /workspace/src -- sh -c 'go build ./... && ls'
  bothy exec web -- tar x < src.tar`,
		ValidArgsFunction: f.CompleteEnvironments(1, false),
		Args: func(cmd *cobra.Command, args []string) error {
			if dash := cmd.ArgsLenAtDash(); len(args) < 2 || (dash >= 0 && dash != 1) {
				return cmdutil.Usagef("bothy exec: want the name of one environment, --, and a command").WithHint("bothy exec ENV -- make")
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
	flags.StringArrayVarP(&opts.Env, "env", "e", nil, "variable for the command, `NAME=value`, or NAME to pass on the value here; may be given again")
	flags.BoolVarP(&opts.TTY, "tty", "t", false, "give the command a terminal: output and errors become one")
	flags.BoolVarP(&interactive, "interactive", "i", false, "pass on input from a terminal, too; =false passes on none")
	return cmd
}

// addExecFlags adds the flags that exec and shell share.
func addExecFlags(cmd *cobra.Command, opts *ExecOptions) {
	cmd.Flags().StringVarP(&opts.User, "user", "u", "", "`user` inside, one of those that show lists (default: the first)")
	cmd.Flags().StringVarP(&opts.Dir, "workdir", "w", "", "`folder` inside to run in (default: the workspace)")
}

func execRun(ctx context.Context, opts *ExecOptions) error {
	f := opts.Factory
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
	return attach(ctx, f, opts.Name, start)
}
