package brake

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/client"
)

// ReleaseOptions are the flags of `brake release`.
type ReleaseOptions struct {
	Factory *cmdutil.Factory
	Yes     bool
}

// NewCmdRelease makes `bothy brake release`.
func NewCmdRelease(f *cmdutil.Factory, runF func(context.Context, *ReleaseOptions) error) *cobra.Command {
	opts := &ReleaseOptions{Factory: f}
	cmd := &cobra.Command{
		Use:               "release",
		Short:             "End what is overdue after all",
		Long:              "Let go of the brake: all that is overdue by the clock as it is now ends. Needs the platform role.",
		Example:           "  bothy brake release --yes",
		Args:              cmdutil.Args(0, 0, "no arguments"),
		ValidArgsFunction: cmdutil.NoComplete,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return releaseRun(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVarP(&opts.Yes, "yes", "y", false, "do not ask (needed where nobody can be asked)")
	return cmd
}

func releaseRun(ctx context.Context, opts *ReleaseOptions) error {
	f := opts.Factory
	if err := f.Confirm(ctx, opts.Yes, "bothy brake release", "Let all leases end that are overdue by the clock as it is now?"); err != nil {
		return err
	}
	return cmdutil.Ask(f, func(c *client.Client) (wire.Brake, error) { return c.ReleaseBrake(ctx) }, printBrake(f))
}
