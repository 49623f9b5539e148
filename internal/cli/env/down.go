package env

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/render"
	"github.com/bothy-env/bothy/internal/client"
)

// DownOptions are the flags of down.
type DownOptions struct {
	Factory      *cmdutil.Factory
	Names        []string
	All, Yes     bool
	AllTenants   bool
	Wait, Detach bool
}

// NewCmdDown makes `bothy down`.
func NewCmdDown(f *cmdutil.Factory, runF func(context.Context, *DownOptions) error) *cobra.Command {
	opts := &DownOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "down ENV...",
		Short: "Delete environments",
		Long: `Deletes environments in any state and waits until every resource is gone. Their files are lost: copy what you need
with bothy cp first. Deleting an environment that is already gone succeeds.

You may delete an environment that you own or that is shared with you. --all deletes your own only. With the platform role,
--as-platform REASON deletes any, and the reason goes on record.

A name means an environment of your own tenant. With the platform role, TENANT/NAME or --tenant names another tenant's.`,
		Example: `  bothy down web
  bothy down web db --detach
  bothy down --all --yes
  bothy down acme/web`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: f.CompleteEnvironments(-1, false),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Names = args
			opts.All = opts.All || opts.AllTenants
			switch {
			case opts.All && len(args) > 0:
				return cmdutil.Usagef("--all and names of environments exclude each other")
			case opts.AllTenants && f.Tenant != "":
				return cmdutil.Usagef("--all-tenants and --tenant exclude each other")
			case opts.AllTenants && f.AsPlatform == "":
				return cmdutil.Usagef("--all-tenants deletes what is not yours: it needs --as-platform").WithHint(`bothy down --all-tenants --yes --as-platform "REASON"`)
			case !opts.All && len(args) == 0:
				return cmdutil.Usagef("bothy down: got nothing, want names of environments or --all").WithHint("bothy ls")
			case slices.Contains(args, ""):
				return cmdutil.Usagef("bothy down: got an empty argument, want names of environments or --all").WithHint("bothy ls")
			case opts.Detach && cmd.Flags().Changed("wait") && opts.Wait:
				return cmdutil.Usagef("--wait and --detach exclude each other")
			}
			opts.Detach = opts.Detach || !opts.Wait
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return downRun(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&opts.All, "all", "a", false, "Delete every environment that you own")
	flags.BoolVar(&opts.AllTenants, "all-tenants", false, "Delete every environment of every tenant, warm ones of pools included (platform role, with --as-platform)")
	flags.BoolVarP(&opts.Yes, "yes", "y", false, "Skip the confirmation (required for --all without a terminal)")
	flags.BoolVar(&opts.Wait, "wait", true, "Wait until every resource is gone")
	flags.BoolVarP(&opts.Detach, "detach", "d", false, "Return as soon as the deletion is recorded")
	return cmd
}

func downRun(ctx context.Context, opts *DownOptions) error {
	f := opts.Factory
	c, err := f.Client()
	if err != nil {
		return err
	}
	if opts.All {
		if err := opts.everything(ctx, c); err != nil {
			return err
		}
	}
	progress := f.Progress()
	defer progress.Stop(false)
	// Each is asked for before any is waited for, so that they go at the same time; one that fails keeps no other.
	var going []wire.Environment
	var failed []error
	for _, name := range opts.Names {
		env, err := c.Release(ctx, name)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		going = append(going, env)
	}
	if !opts.Detach {
		for i := range going {
			gone, err := waitGone(ctx, c, going[i], progress)
			going[i] = gone
			if err != nil {
				failed = append(failed, interruptedAs(err, "They go all the same: see it with bothy ls", "bothy ls"))
			}
			if ctx.Err() != nil {
				break
			}
		}
	}
	progress.Stop(len(failed) == 0)
	if err := opts.print(going); err != nil {
		return err
	}
	return opts.report(failed)
}

// everything fills in the names of --all, asking first.
func (opts *DownOptions) everything(ctx context.Context, c *client.Client) error {
	f := opts.Factory
	if !opts.Yes && !f.IO.InTTY {
		return cmdutil.Usagef("cannot delete all environments: there is no terminal to confirm at").WithHint("bothy down %s", opts.everyone())
	}
	envs, err := c.List(ctx, client.ListOptions{AllTenants: opts.AllTenants, Mine: !opts.AllTenants})
	if err != nil {
		return err
	}
	var names []string
	for _, env := range envs {
		opts.Names = append(opts.Names, client.ID(env.ID))
		names = append(names, opts.called(env))
	}
	if opts.Yes || len(names) == 0 {
		return nil
	}
	ok, err := f.Ask(ctx, fmt.Sprintf("Give back %d: %s?", len(names), strings.Join(names, ", ")))
	if err == nil && !ok {
		err = &cmdutil.Error{Code: wire.CodeConflict, Sentence: "Nothing was given back"}
	}
	return err
}

// everyone are the flags that delete all without asking.
func (opts *DownOptions) everyone() string {
	if opts.AllTenants {
		return `--all-tenants --yes --as-platform "REASON"`
	}
	return "--all --yes"
}

// called is an environment's name, as TENANT/NAME where several tenants' are listed.
func (opts *DownOptions) called(env wire.Environment) string { return nameOf(env, opts.AllTenants) }

// nameOf is an environment's name; with its tenant it can be pasted whoever's it is. What a pool keeps has no tenant.
func nameOf(env wire.Environment, tenants bool) string {
	if tenants && env.Tenant != "" {
		return format.Clean(env.Tenant + "/" + env.Name)
	}
	return format.Clean(env.Name)
}

// waitGone follows one until it is gone; env is the last that was seen.
func waitGone(ctx context.Context, c *client.Client, env wire.Environment, progress render.Progress) (wire.Environment, error) {
	if env.State == "destroyed" {
		return env, nil
	}
	progress.Phase("removing " + env.Name)
	var reason string
	first := true
	err := c.Watch(ctx, client.ID(env.ID), 0, func(u wire.Update) error {
		env = u.Environment
		events := u.Events
		if first && len(events) > 1 {
			events = events[len(events)-1:] // The first update tells the whole past.
		}
		for _, e := range events {
			progress.Detail(e.Message)
		}
		first = false
		if env.Reason != reason && env.State != "destroyed" {
			reason = env.Reason
			progress.Detail(reason)
		}
		return nil
	})
	return env, err
}

func (opts *DownOptions) print(envs []wire.Environment) error {
	return opts.Factory.Print(wire.EnvironmentList{Environments: append([]wire.Environment{}, envs...)}, func(w io.Writer) error {
		for _, env := range envs {
			said := "is going"
			if env.State == "destroyed" {
				said = "is gone, " + format.Money(env.Cost.AccruedMicros, env.Cost.Currency) + " in all"
			}
			fmt.Fprintf(w, "%s %s\n", opts.called(env), said)
		}
		return nil
	})
}

// report tells all errors; the first is the command's.
func (opts *DownOptions) report(failed []error) error {
	if len(failed) == 0 {
		return nil
	}
	for _, err := range failed[1:] {
		opts.Factory.ShowError(err)
	}
	return failed[0]
}
