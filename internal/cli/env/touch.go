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
		Short: "Reset the idle timer of an environment",
		Long: `Marks an environment as active, which resets its idle timer (see up --idle). The lease itself still expires at the same time.

Commands, copies, network traffic and more than 5 % CPU of a core reset the timer too. Use touch for activity that bothy cannot
see.`,
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
				said = "expires " + localTime(f, *env.Lease.IdleEnd) + " unless used"
			}
			_, err := fmt.Fprintf(w, "Touched %s: %s\n", format.Clean(env.Name), said)
			return err
		})
}
