// Package spec holds the commands on bothy.yaml, one file per verb, and finds and reads the one that a command was called under.
package spec

import (
	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/cli/cmdutil"
)

// NewCmdSpec makes `bothy spec`.
func NewCmdSpec(f *cmdutil.Factory) *cobra.Command {
	cmd := cmdutil.Group("spec", "bothy.yaml: start one, check it, get its schema")
	cmd.Example = "  bothy spec init\n  bothy spec check"
	cmd.AddCommand(NewCmdInit(f, nil), NewCmdCheck(f, nil), NewCmdSchema(f, nil))
	return cmd
}
