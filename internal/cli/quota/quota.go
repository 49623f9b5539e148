// Package quota holds the commands on quotas, one file per verb.
package quota

import (
	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/cli/cmdutil"
)

const scopes = `A scope is TENANT, TENANT/team/NAME or TENANT/user/NAME.`

// NewCmdQuota makes `bothy quota`.
func NewCmdQuota(f *cmdutil.Factory) *cobra.Command {
	cmd := cmdutil.Group("quota", "Quotas: what tenants, teams and users may have")
	cmd.Aliases = []string{"quotas"}
	cmd.Long = `A quota limits what a tenant, a team or a user may have: environments, cores and memory at once, hours and money of a UTC
day or month, the longest lease, and which blueprints and sizes. All three hold for a request; what exists counts until it is
proven gone.

` + scopes + ` Setting quotas needs the platform role.`
	cmd.Example = "  bothy quota ls\n  bothy quota set acme/team/core --environments 10 --money-per-day 20"
	cmd.AddCommand(NewCmdSet(f, nil), NewCmdLs(f), NewCmdShow(f, nil))
	return cmd
}
