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
		Long: `Keeps orphans and doubted environments, by the ids of their environments; --all keeps every one. Prints what is left to
decide. Needs the platform role.

An orphan becomes an environment again. Its labels say whose it is, its size, tenant, team and project. It is leased from now
for its blueprint's default time, at today's price; the names of its secrets and its variables are lost. A doubted lease
continues for at least the time that it was asked for, from now. What was made for a pool may be anybody's: it is leased to
you, in your tenant and team. See when each lease ends with: bothy ls. Where labels name no size that the blueprint has, the
default size counts. The event says what labels did not tell: bothy events.`,
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
	cmd.Flags().BoolVarP(&opts.All, "all", "a", false, "all that are listed")
	return cmd
}

// which checks that it was said which orphans are meant.
func which(cmd *cobra.Command, ids []string, all bool) error {
	if all == (len(ids) > 0) {
		return cmdutil.Usagef("%s: want ids of environments, or --all", cmd.CommandPath()).WithHint("bothy orphans ls")
	}
	return nil
}

func adoptRun(ctx context.Context, opts *AdoptOptions) error {
	return cmdutil.Ask(opts.Factory, func(c *client.Client) (wire.OrphanReport, error) {
		return c.AdoptOrphans(ctx, wire.OrphanRequest{Environments: opts.IDs, All: opts.All})
	}, printReport(opts.Factory))
}
