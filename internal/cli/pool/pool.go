// Package pool holds the commands on pools, one file per verb.
package pool

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/cli/cmdutil"
)

// NewCmdPool makes `bothy pool`.
func NewCmdPool(f *cmdutil.Factory) *cobra.Command {
	cmd := cmdutil.Group("pool", "Manage pools of warm environments")
	cmd.Aliases = []string{"pools"}
	cmd.Long = `A pool keeps a number of warm environments of one blueprint, size and set of inputs. A matching request claims one within
milliseconds, and the pool creates another. Used environments never return to a pool.

If several pools match a request, the first by name with a warm environment serves it. Creating, updating, deleting and resuming
pools requires the platform role.`
	cmd.Example = "  bothy pool ls\n  bothy pool set builders --blueprint build --target 3"
	cmd.AddCommand(NewCmdSet(f, nil), NewCmdLs(f), NewCmdShow(f, nil), NewCmdRm(f, nil), NewCmdResume(f, nil))
	return cmd
}

// NameOptions are the options of a command on one pool.
type NameOptions struct {
	Factory *cmdutil.Factory
	Name    string
}

// onOne completes a command on one pool.
func onOne(f *cmdutil.Factory, cmd *cobra.Command, runF, run func(context.Context, *NameOptions) error) *cobra.Command {
	opts := &NameOptions{Factory: f}
	cmd.Args = cmdutil.Args(1, 1, "the name of one pool")
	cmd.ValidArgsFunction = f.CompletePools(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		opts.Name = args[0]
		if runF != nil {
			return runF(cmd.Context(), opts)
		}
		return run(cmd.Context(), opts)
	}
	return cmd
}
