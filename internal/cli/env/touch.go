package env

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/client"
)

// TouchOptions are the arguments of touch.
type TouchOptions struct {
	Factory *cmdutil.Factory
	Name    string
}

// NewCmdTouch makes `bothy touch`.
func NewCmdTouch(f *cmdutil.Factory, runF func(context.Context, *TouchOptions) error) *cobra.Command {
	opts := &TouchOptions{Factory: f}
	return &cobra.Command{
		Use:   "touch ENV",
		Short: "Say that an environment is in use",
		Long: `Say that an environment is in use, so that a lease that ends when it is idle (up --idle) goes on. Commands, copies,
network traffic and work (processor time over 5 % of a core) say so by themselves; touch is for what bothy cannot see. The end of the lease itself does not move.`,
		Example:           "  bothy touch web",
		Args:              cmdutil.Args(1, 1, "the name of one environment"),
		ValidArgsFunction: f.CompleteEnvironments(1, false),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Name = args[0]
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return touchRun(cmd.Context(), opts)
		},
	}
}

func touchRun(ctx context.Context, opts *TouchOptions) error {
	f := opts.Factory
	return cmdutil.Ask(f, func(c *client.Client) (wire.Environment, error) { return c.Touch(ctx, opts.Name) },
		func(w io.Writer, env wire.Environment) error {
			said := "lease " + lease(env)
			if env.Lease.IdleEnd != nil {
				said = "kept until " + localTime(f, *env.Lease.IdleEnd) + " without use"
			}
			_, err := fmt.Fprintf(w, "%s: %s\n", format.Clean(env.Name), said)
			return err
		})
}
