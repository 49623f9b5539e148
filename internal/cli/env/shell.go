package env

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
)

// pickShell runs bash if the image has it, otherwise sh.
var pickShell = []string{"sh", "-c", "if command -v bash >/dev/null 2>&1; then exec bash; else exec sh; fi"}

// NewCmdShell makes `bothy shell`.
func NewCmdShell(f *cmdutil.Factory, runF func(context.Context, *ExecOptions) error) *cobra.Command {
	opts := &ExecOptions{Factory: f, TTY: true, Command: pickShell}
	cmd := &cobra.Command{
		Use:   "shell ENV",
		Short: "Open a shell in an environment",
		Long: `Opens a shell in an environment: bash if the image has it, otherwise sh. Exits with the exit code of the shell.
shell requires a terminal. In scripts use exec.`,
		Example: `  bothy shell web
  bothy shell web -u root`,
		Args:              cmdutil.Args(1, 1, "the name of one environment"),
		ValidArgsFunction: f.CompleteEnvironments(1, false),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Name = args[0]
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return shellRun(cmd.Context(), opts)
		},
	}
	addExecFlags(cmd, opts)
	return cmd
}

func shellRun(ctx context.Context, opts *ExecOptions) error {
	f := opts.Factory
	if !f.IO.InTTY {
		return cmdutil.Usagef("cannot open a shell: stdin is not a terminal").WithHint("bothy exec %s -- sh", opts.Name)
	}
	start := wire.ExecStart{Command: opts.Command, User: opts.User, Dir: opts.Dir, TTY: true, Stdin: true}
	if t := f.Getenv("TERM"); t != "" {
		start.Env = append(start.Env, "TERM="+t)
	}
	return attach(ctx, f, opts.Name, start)
}
