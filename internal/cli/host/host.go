// Package host holds the commands for engine hosts, one file per verb.
package host

import (
	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/cli/cmdutil"
)

// NewCmdHost makes `bothy host`.
func NewCmdHost(f *cmdutil.Factory) *cobra.Command {
	cmd := cmdutil.Group("host", "Manage the hosts that run environments")
	cmd.Aliases = []string{"hosts"}
	cmd.Long = `A host is a Docker engine that runs environments. One daemon at a time serves a host. bothy places new environments on hosts
with free capacity, never on a drained or lost host. Requires the platform role.`
	cmd.Example = "  bothy host ls\n  bothy host drain rack2"
	cmd.AddCommand(NewCmdLs(f), NewCmdDrain(f, nil), NewCmdUndrain(f, nil))
	return cmd
}
