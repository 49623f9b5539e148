// Package rate holds the commands on prices, one file per verb.
package rate

import (
	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/cli/cmdutil"
)

// NewCmdRate makes `bothy rate`.
func NewCmdRate(f *cmdutil.Factory) *cobra.Command {
	cmd := cmdutil.Group("rate", "Rates: what an hour of a blueprint's size costs")
	cmd.Aliases = []string{"rates"}
	cmd.Long = `A rate is the price of an hour of a blueprint's size from a moment on. A size without one costs what its blueprint says.
What was admitted before a rate holds keeps its price. Setting rates needs the platform role.`
	cmd.Example = "  bothy rate ls\n  bothy rate set build small 0.05"
	cmd.AddCommand(NewCmdSet(f, nil), NewCmdLs(f))
	return cmd
}
