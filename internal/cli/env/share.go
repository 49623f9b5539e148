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

// shares are the allowed values of --share and --with.
var shares = []string{"nobody", "team", "tenant"}

// ShareOptions are the flags of share.
type ShareOptions struct {
	Factory    *cmdutil.Factory
	Name, With string
}

// NewCmdShare makes `bothy share`.
func NewCmdShare(f *cmdutil.Factory, runF func(context.Context, *ShareOptions) error) *cobra.Command {
	opts := &ShareOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "share ENV --with nobody|team|tenant",
		Short: "Set who may use an environment",
		Long: `Sets who besides the owner may use and delete an environment: nobody, the environment's team, or the whole tenant. They can
run commands, copy files and read the log, and therefore read its secrets. Only the owner may change the setting. When you stop
sharing, open shells, logs and copies of others end within 10 s.

Every member of the tenant sees that the environment exists, its state and its cost.`,
		Example: `  bothy share web --with tenant
  bothy share web --with nobody`,
		Args:              cmdutil.Args(1, 1, "the name of one environment"),
		ValidArgsFunction: f.CompleteEnvironments(1, false),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Name = args[0]
			if opts.With == "" {
				return cmdutil.Usagef("--with is required").WithHint("bothy share %s --with team", opts.Name)
			}
			if err := cmdutil.OneOf("with", opts.With, shares...); err != nil {
				return err
			}
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return shareRun(cmd.Context(), opts)
		},
	}
	cmd.Flags().StringVar(&opts.With, "with", "", "Who besides the owner may use and delete the environment: nobody, team or tenant (required)")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("with", cmdutil.CompleteWords(shares...)))
	return cmd
}

func shareRun(ctx context.Context, opts *ShareOptions) error {
	return cmdutil.Ask(opts.Factory, func(c *client.Client) (wire.Environment, error) { return c.Share(ctx, opts.Name, opts.With) },
		func(w io.Writer, env wire.Environment) error {
			_, err := fmt.Fprintf(w, "Shared %s with %s\n", format.Clean(env.Name), shared(env))
			return err
		})
}

// shared names who besides the owner may use an environment; "" if that is unknown, as for a pool member.
func shared(env wire.Environment) string {
	switch {
	case env.Share == "team" && env.Team != "":
		return "team " + format.Clean(env.Team)
	case env.Share == "tenant" && env.Tenant != "":
		return "tenant " + format.Clean(env.Tenant)
	}
	return format.Clean(env.Share)
}
