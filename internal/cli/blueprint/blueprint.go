// Package blueprint holds the commands for blueprints, one file per verb.
package blueprint

import (
	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/cli/cmdutil"
)

// NewCmdBlueprint makes `bothy blueprint`.
func NewCmdBlueprint(f *cmdutil.Factory) *cobra.Command {
	cmd := cmdutil.Group("blueprint", "List, show and check blueprints")
	cmd.Long = `A blueprint is a Terraform module with sizes, typed inputs and prices. bothy creates every environment from a blueprint.`
	cmd.Aliases = []string{"blueprints", "bp"}
	cmd.Example = "  bothy blueprint ls\n  bothy blueprint show build\n  bothy blueprint check ./blueprints/web"
	cmd.AddCommand(NewCmdLs(f), NewCmdShow(f, nil), NewCmdCheck(f, nil))
	return cmd
}
