package orphan

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/client"
)

// PurgeOptions are the arguments and flags of `orphans purge`.
type PurgeOptions struct {
	Factory  *cmdutil.Factory
	IDs      []string
	All, Yes bool
}

// NewCmdPurge makes `bothy orphans purge`.
func NewCmdPurge(f *cmdutil.Factory, runF func(context.Context, *PurgeOptions) error) *cobra.Command {
	opts := &PurgeOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "purge [ID...]",
		Short: "Delete orphans and doubted environments",
		Long: `Deletes orphans and doubted environments, by environment id. Their files are lost. Prints the orphans that are still
undecided. Requires the platform role.`,
		Example:           "  bothy orphans purge k3v9x2ab --yes\n  bothy orphans purge --all --yes",
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: f.CompleteOrphans(),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.IDs = args
			if err := which(cmd, args, opts.All); err != nil {
				return err
			}
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return purgeRun(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVarP(&opts.All, "all", "a", false, "Delete every listed orphan and doubted environment")
	cmd.Flags().BoolVarP(&opts.Yes, "yes", "y", false, "Skip the confirmation (required without a terminal)")
	return cmd
}

func purgeRun(ctx context.Context, opts *PurgeOptions) error {
	f := opts.Factory
	question := "Delete all orphans and doubted environments with their files?"
	if !opts.All {
		question = "Delete " + format.Count(len(opts.IDs), "environment") + " with all files?"
	}
	if err := f.Confirm(ctx, opts.Yes, "bothy orphans purge", question); err != nil {
		return err
	}
	return cmdutil.Ask(f, func(c *client.Client) (wire.OrphanReport, error) {
		return c.PurgeOrphans(ctx, wire.OrphanRequest{Environments: opts.IDs, All: opts.All})
	}, printReport(f))
}
