// Package host holds the commands on engine hosts, one file per verb.
package host

import (
	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/cli/cmdutil"
)

// NewCmdHost makes `bothy host`.
func NewCmdHost(f *cmdutil.Factory) *cobra.Command {
	cmd := cmdutil.Group("host", "Engine hosts: where environments stand")
	cmd.Aliases = []string{"hosts"}
	cmd.Long = `An engine host is a Docker engine that environments stand on. Daemons declare them; one at a time serves each. New
environments go where there is room, never to a drained or lost host. Needs the platform role.`
	cmd.Example = "  bothy host ls\n  bothy host drain rack2"
	cmd.AddCommand(NewCmdLs(f), NewCmdDrain(f, nil), NewCmdUndrain(f, nil))
	return cmd
}
