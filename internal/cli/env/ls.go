package env

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
	"github.com/bothy-env/bothy/internal/client"
)

// LsOptions are the flags of ls.
type LsOptions struct {
	Factory    *cmdutil.Factory
	All, Quiet bool
	AllTenants bool
	// Mine lists only environments that the caller owns.
	Mine bool
}

// NewCmdLs makes `bothy ls`.
func NewCmdLs(f *cmdutil.Factory, runF func(context.Context, *LsOptions) error) *cobra.Command {
	opts := &LsOptions{Factory: f}
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List environments",
		Long: `Lists the environments of your tenant, newest first, without deleted ones. You see every environment of your tenant. You may
use environments that you own or that are shared with you (see bothy share).

LEFT is the time left of the lease, with ! when less than 10 % is left. COST is the cost so far.`,
		Example: `  bothy ls
  bothy ls --mine
  bothy ls --all
  bothy ls --all-tenants
  bothy ls -q`,
		Args:              cmdutil.Args(0, 0, "no arguments"),
		ValidArgsFunction: cmdutil.NoComplete,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.AllTenants && f.Tenant != "" {
				return cmdutil.Usagef("--all-tenants and --tenant cannot be used together")
			}
			if opts.AllTenants && opts.Mine {
				return cmdutil.Usagef("--all-tenants and --mine cannot be used together")
			}
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return lsRun(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVarP(&opts.All, "all", "a", false, "Include deleted environments")
	cmd.Flags().BoolVar(&opts.Mine, "mine", false, "List only environments that you own")
	cmd.Flags().BoolVar(&opts.AllTenants, "all-tenants", false, "List environments of every tenant as TENANT/NAME, including warm ones (platform role)")
	cmd.Flags().BoolVarP(&opts.Quiet, "quiet", "q", false, "Print names only, one per line")
	return cmd
}

func lsRun(ctx context.Context, opts *LsOptions) error {
	f := opts.Factory
	c, err := f.Client()
	if err != nil {
		return err
	}
	envs, err := c.List(ctx, client.ListOptions{All: opts.All, AllTenants: opts.AllTenants, Mine: opts.Mine})
	if err != nil {
		return err
	}
	return f.Print(wire.EnvironmentList{Environments: envs}, func(w io.Writer) error {
		if opts.Quiet {
			for _, env := range envs {
				fmt.Fprintln(w, nameOf(env, opts.AllTenants))
			}
			return nil
		}
		if len(envs) == 0 && f.IO.OutTTY {
			fmt.Fprintln(w, "No environments found. Create one with: bothy up")
			return nil
		}
		rows := [][]string{{"NAME", "STATE", "BLUEPRINT", "SIZE", "LEFT", "COST", "OWNER"}}
		for _, env := range envs {
			remaining := left(env)
			if env.Lease.Warning {
				remaining = f.IO.Paint(iostreams.Yellow, remaining)
			}
			rows = append(rows, []string{
				nameOf(env, opts.AllTenants), f.IO.Paint(stateColor(env.State), format.Clean(env.State)), blueprintName(env), format.Clean(env.Size.Name),
				remaining, format.Money(env.Cost.AccruedMicros, env.Cost.Currency), format.Clean(env.Owner),
			})
		}
		return format.Table(w, rows)
	})
}
