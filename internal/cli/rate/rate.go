// Package rate holds the commands for rates, one file per verb.
package rate

import (
	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/cli/cmdutil"
)

// NewCmdRate makes `bothy rate`.
func NewCmdRate(f *cmdutil.Factory) *cobra.Command {
	cmd := cmdutil.Group("rate", "Manage hourly rates of blueprint sizes")
	cmd.Aliases = []string{"rates"}
	cmd.Long = `A rate is the hourly price of a blueprint size from a given time. A size without a rate costs the price of the blueprint.
Environments admitted before a rate takes effect keep their price. Setting rates requires the platform role.`
	cmd.Example = "  bothy rate ls\n  bothy rate set build small 0.05"
	cmd.AddCommand(NewCmdSet(f, nil), NewCmdLs(f))
	return cmd
}
