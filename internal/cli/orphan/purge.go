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
		Short: "Remove orphans and doubted environments now",
		Long: `Removes orphans and doubted environments now, by the ids of their environments. Their files are lost. Prints what is left
to decide. Needs the platform role.`,
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
	cmd.Flags().BoolVarP(&opts.All, "all", "a", false, "all that are listed")
	cmd.Flags().BoolVarP(&opts.Yes, "yes", "y", false, "do not ask (needed where nobody can be asked)")
	return cmd
}

func purgeRun(ctx context.Context, opts *PurgeOptions) error {
	f := opts.Factory
	question := "Remove all orphans and all doubted environments, with all that is in them?"
	if !opts.All {
		question = "Remove the orphans of " + format.Count(len(opts.IDs), "environment") + ", with all that is in them?"
	}
	if err := f.Confirm(ctx, opts.Yes, "bothy orphans purge", question); err != nil {
		return err
	}
	return cmdutil.Ask(f, func(c *client.Client) (wire.OrphanReport, error) {
		return c.PurgeOrphans(ctx, wire.OrphanRequest{Environments: opts.IDs, All: opts.All})
	}, printReport(f))
}
