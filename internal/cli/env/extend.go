package env

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/client"
)

// ExtendOptions are the flags of extend.
type ExtendOptions struct {
	Factory  *cmdutil.Factory
	Name, By string
}

// NewCmdExtend makes `bothy extend`.
func NewCmdExtend(f *cmdutil.Factory, runF func(context.Context, *ExtendOptions) error) *cobra.Command {
	opts := &ExtendOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "extend ENV --by DURATION",
		Short: "Extend the lease of an environment",
		Long:  "Extends an environment's lease, up to the blueprint's maximum lifetime.",
		Example: `  bothy extend web --by 30m
  bothy extend web --by 1d`,
		Args:              cmdutil.Args(1, 1, "the name of one environment"),
		ValidArgsFunction: f.CompleteEnvironments(1, false),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Name = args[0]
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return extendRun(cmd.Context(), opts)
		},
	}
	cmd.Flags().StringVar(&opts.By, "by", "", "Additional `duration`, for example 30m, 1h30m or 1d (required)")
	return cmd
}

func extendRun(ctx context.Context, opts *ExtendOptions) error {
	f := opts.Factory
	if opts.By == "" {
		return cmdutil.Usagef("--by is required").WithHint("bothy extend %s --by 30m", opts.Name)
	}
	by, err := cmdutil.Span("by", opts.By)
	if err != nil {
		return err
	}
	return cmdutil.Ask(f, func(c *client.Client) (wire.Environment, error) { return c.Extend(ctx, opts.Name, by) },
		func(w io.Writer, env wire.Environment) error {
			_, err := fmt.Fprintf(w, "Extended %s: lease %s, cost %s at expiry\n", format.Clean(env.Name), lease(env), format.Money(env.Cost.AtExpiryMicros, env.Cost.Currency))
			return err
		})
}
