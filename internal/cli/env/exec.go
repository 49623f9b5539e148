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
between: for pipes and variables say sh -c.

With --detach the command runs on by itself: bothy prints its process and the file in the environment that holds its
output (/tmp/bothy-exec-*.log; the last line is its exit code), and returns. Its input is empty. It ends with the lease,
and while it works the environment counts as in use (see up --idle). A first Ctrl-C is passed on to the command, a second
one ends it. When a command ends with 137, bothy says why on stderr: out of memory, the end of the lease, or a kill.

A command ends with its client. Ctrl-Z suspends the client: the command runs on, waits when nobody takes its output, and
ends after an hour unless the client continues (fg). A client that is silent for 45 s without Ctrl-Z (its machine sleeps, its
network is down) counts as gone: bothyd ends the command, and the client says so when it continues. A command that must not
depend on its client needs --detach.`,
		Example: `  bothy exec web -- make test
  bothy exec web -u root -- apt-get install -y jq
  bothy exec web -e CI=1 -w /workspace/src -- sh -c 'go build ./... && ls'
  bothy exec web -- tar x < src.tar
  bothy exec web --detach -- make nightly`,
		ValidArgsFunction: f.CompleteEnvironments(1, false),
		Args: func(cmd *cobra.Command, args []string) error {
			if dash := cmd.ArgsLenAtDash(); len(args) < 2 || args[0] == "" || (dash >= 0 && dash != 1) {
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
	flags.BoolVarP(&opts.Detach, "detach", "d", false, "start the command and return; its output goes to a file in the environment")
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
	if opts.Detach && (opts.TTY || opts.Interactive != nil && *opts.Interactive) {
		return cmdutil.Usagef("--detach: a command that runs on by itself has no terminal and no input").WithHint("leave out --tty and --interactive")
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
