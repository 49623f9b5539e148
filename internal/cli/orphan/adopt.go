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
		Short: "Make orphans environments again, leased to whom their label names",
		Long: `Make orphans environments again, by the ids of the environments that they were part of: each is leased to whom its label
names, for as long as its blueprint's default. Answers with what is left undecided. Needs the platform role.

Its size, tenant, team and project are those of its labels, its price is that of now. The labels of what was made for a pool
name nobody, also if somebody has claimed it since: it becomes yours, in your tenant and team. Where labels tell no size that
the blueprint has, its default size is taken. The event says what was not told by labels: bothy events.`,
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
