package pool

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/client"
)

// NewCmdResume makes `bothy pool resume`.
func NewCmdResume(f *cmdutil.Factory, runF func(context.Context, *NameOptions) error) *cobra.Command {
	return onOne(f, &cobra.Command{
		Use:   "resume POOL",
		Short: "Resume a paused pool",
		Long: `Resumes a pool that bothy paused because its members kept failing. bothy pool show prints the cause. Requires the platform
role.`,
		Example: "  bothy pool resume builders",
	}, runF, resumeRun)
}

func resumeRun(ctx context.Context, opts *NameOptions) error {
	return cmdutil.Ask(opts.Factory, func(c *client.Client) (wire.Pool, error) { return c.ResumePool(ctx, opts.Name) }, printPool(opts.Factory))
}
