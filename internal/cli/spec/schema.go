package spec

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	bothyspec "github.com/bothy-env/bothy/internal/spec"
)

// SchemaOptions are the options of `spec schema`.
type SchemaOptions struct{ Factory *cmdutil.Factory }

// NewCmdSchema makes `bothy spec schema`.
func NewCmdSchema(f *cmdutil.Factory, runF func(context.Context, *SchemaOptions) error) *cobra.Command {
	opts := &SchemaOptions{Factory: f}
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of bothy.yaml",
		Long: `Prints the JSON Schema of bothy.yaml, so that editors can complete and check the file. For the YAML language server, save the
schema and start bothy.yaml with: # yaml-language-server: $schema=bothy.schema.json`,
		Example:           "  bothy spec schema > bothy.schema.json",
		Args:              cmdutil.Args(0, 0, "no arguments"),
		ValidArgsFunction: cmdutil.NoComplete,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return f.Outf("%s", bothyspec.Schema())
		},
	}
}
