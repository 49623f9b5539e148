package orphan

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/client"
)

// AdoptOptions are the arguments and flags of `orphans adopt`.
type AdoptOptions struct {
	Factory *cmdutil.Factory
	IDs     []string
	All     bool
}

// NewCmdAdopt makes `bothy orphans adopt`.
func NewCmdAdopt(f *cmdutil.Factory, runF func(context.Context, *AdoptOptions) error) *cobra.Command {
	opts := &AdoptOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "adopt [ID...]",
		Short: "Keep orphans and doubted environments",
		Long: `Keeps orphans and doubted environments, by environment id. --all keeps every one. Prints the orphans that are still undecided.
Requires the platform role.

An orphan becomes an environment again. Its labels give owner, size, tenant, team and project. bothy leases it from now for the
default duration of its blueprint, at today's price. The names of its secrets and its variables are lost. If its labels name no
size of the blueprint, the default size applies. bothy events shows which facts the labels did not have.

A doubted lease continues for at least its requested duration, from now. bothy leases a pool member to you, in your tenant and
team, because its owner is unknown. bothy ls shows when each lease expires.`,
		Example:           "  bothy orphans adopt k3v9x2ab\n  bothy orphans adopt --all",
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
			return adoptRun(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVarP(&opts.All, "all", "a", false, "Adopt every listed orphan and doubted environment")
	return cmd
}

// which checks that the command line has either ids or --all.
func which(cmd *cobra.Command, ids []string, all bool) error {
	if all == (len(ids) > 0) {
		return cmdutil.Usagef("%s: want environment ids or --all", cmd.CommandPath()).WithHint("bothy orphans ls")
	}
	return nil
}

func adoptRun(ctx context.Context, opts *AdoptOptions) error {
	return cmdutil.Ask(opts.Factory, func(c *client.Client) (wire.OrphanReport, error) {
		return c.AdoptOrphans(ctx, wire.OrphanRequest{Environments: opts.IDs, All: opts.All})
	}, printReport(opts.Factory))
}
