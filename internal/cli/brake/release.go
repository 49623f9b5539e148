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
		Short:             "Delete all overdue environments now",
		Long:              "Turns off the reap limiter: bothy deletes every environment that is overdue by the current clock. Requires the platform role.",
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
	cmd.Flags().BoolVarP(&opts.Yes, "yes", "y", false, "Skip the confirmation (required without a terminal)")
	return cmd
}

func releaseRun(ctx context.Context, opts *ReleaseOptions) error {
	f := opts.Factory
	if err := f.Confirm(ctx, opts.Yes, "bothy brake release", "Delete every environment that is overdue by the current clock?"); err != nil {
		return err
	}
	return cmdutil.Ask(f, func(c *client.Client) (wire.Brake, error) { return c.ReleaseBrake(ctx) }, printBrake(f))
}
