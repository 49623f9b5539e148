// Package quota holds the commands on quotas, one file per verb.
package quota

import (
	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/cli/cmdutil"
)

const scopes = `A scope is TENANT, TENANT/team/NAME or TENANT/user/NAME.`

// NewCmdQuota makes `bothy quota`.
func NewCmdQuota(f *cmdutil.Factory) *cobra.Command {
	cmd := cmdutil.Group("quota", "Manage quotas of tenants, teams and users")
	cmd.Aliases = []string{"quotas"}
	cmd.Long = `A quota limits a tenant, a team or a user: concurrent environments, CPUs and memory, hours and money per UTC day or month, the
maximum lease, and the allowed blueprints and sizes. A request must fit all three quotas. A resource counts until bothy has
verified its deletion.

` + scopes + ` Setting quotas requires the platform role.`
	cmd.Example = "  bothy quota ls\n  bothy quota set acme/team/core --environments 10 --money-per-day 20"
	cmd.AddCommand(NewCmdSet(f, nil), NewCmdLs(f), NewCmdShow(f, nil))
	return cmd
}
