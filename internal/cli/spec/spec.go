// Package spec holds the commands for bothy.yaml, one file per verb, and finds and reads the bothy.yaml of the current directory.
package spec

import (
	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/cli/cmdutil"
)

// NewCmdSpec makes `bothy spec`.
func NewCmdSpec(f *cmdutil.Factory) *cobra.Command {
	cmd := cmdutil.Group("spec", "Create and check bothy.yaml")
	cmd.Example = "  bothy spec init\n  bothy spec check"
	cmd.AddCommand(NewCmdInit(f, nil), NewCmdCheck(f, nil), NewCmdSchema(f, nil))
	return cmd
}
