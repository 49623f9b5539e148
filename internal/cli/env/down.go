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

You may delete an environment that you own or that is shared with you. --all deletes only your own. With the platform role you
may delete any environment with --as-platform REASON. bothy records the reason.

A name refers to an environment of your own tenant. With the platform role, use TENANT/NAME or --tenant for another tenant.`,
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
				return cmdutil.Usagef("--all and environment names cannot be used together")
			case opts.AllTenants && f.Tenant != "":
				return cmdutil.Usagef("--all-tenants and --tenant cannot be used together")
			case opts.AllTenants && f.AsPlatform == "":
				return cmdutil.Usagef("--all-tenants requires --as-platform, because it deletes environments of others").WithHint(`bothy down --all-tenants --yes --as-platform "REASON"`)
			case !opts.All && len(args) == 0:
				return cmdutil.Usagef("bothy down: got nothing, want names of environments or --all").WithHint("bothy ls")
			case slices.Contains(args, ""):
				return cmdutil.Usagef("bothy down: got an empty argument, want names of environments or --all").WithHint("bothy ls")
			case opts.Detach && cmd.Flags().Changed("wait") && opts.Wait:
				return cmdutil.Usagef("--wait and --detach cannot be used together")
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
	flags.BoolVar(&opts.AllTenants, "all-tenants", false, "Delete every environment of every tenant, including warm ones (platform role, requires --as-platform)")
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
	// Request every deletion before waiting for the first, so that they run at the same time. A failure does not stop the others.
	var deleted []wire.Environment
	var failed []error
	for _, name := range opts.Names {
		env, err := c.Release(ctx, name)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		deleted = append(deleted, env)
	}
	if !opts.Detach {
		for i := range deleted {
			gone, err := waitGone(ctx, c, deleted[i], progress)
			deleted[i] = gone
			if err != nil {
				failed = append(failed, interruptedAs(err, "Stopped waiting. The deletion continues.", "bothy ls"))
			}
			if ctx.Err() != nil {
				break
			}
		}
	}
	progress.Stop(len(failed) == 0)
	if err := opts.print(deleted); err != nil {
		return err
	}
	return opts.report(failed)
}

// everything sets the names for --all, after a confirmation.
func (opts *DownOptions) everything(ctx context.Context, c *client.Client) error {
	f := opts.Factory
	if !opts.Yes && !f.IO.InTTY {
		return cmdutil.Usagef("cannot delete all environments: cannot ask for confirmation without a terminal").WithHint("bothy down %s", opts.everyone())
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
	ok, err := f.Ask(ctx, fmt.Sprintf("Delete %s: %s?", format.Count(len(names), "environment"), strings.Join(names, ", ")))
	if err == nil && !ok {
		err = &cmdutil.Error{Code: wire.CodeConflict, Sentence: "Cancelled. Nothing was deleted."}
	}
	return err
}

// everyone returns the flags that delete all environments without confirmation.
func (opts *DownOptions) everyone() string {
	if opts.AllTenants {
		return `--all-tenants --yes --as-platform "REASON"`
	}
	return "--all --yes"
}

// called returns the name of an environment, as TENANT/NAME with --all-tenants.
func (opts *DownOptions) called(env wire.Environment) string { return nameOf(env, opts.AllTenants) }

// nameOf returns the name of an environment, with its tenant if tenants is set, so that it can be pasted into a command. Pool members
// have no tenant.
func nameOf(env wire.Environment, tenants bool) string {
	if tenants && env.Tenant != "" {
		return format.Clean(env.Tenant + "/" + env.Name)
	}
	return format.Clean(env.Name)
}

// waitGone follows an environment until it is destroyed and returns its last known form.
func waitGone(ctx context.Context, c *client.Client, env wire.Environment, progress render.Progress) (wire.Environment, error) {
	if env.State == "destroyed" {
		return env, nil
	}
	progress.Phase("Deleting " + env.Name)
	var reason string
	first := true
	err := c.Watch(ctx, client.ID(env.ID), 0, func(u wire.Update) error {
		env = u.Environment
		events := u.Events
		if first && len(events) > 1 {
			events = events[len(events)-1:] // The first update contains all past events.
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
			if env.State == "destroyed" {
				fmt.Fprintf(w, "Deleted %s (total cost %s)\n", opts.called(env), format.Money(env.Cost.AccruedMicros, env.Cost.Currency))
				continue
			}
			fmt.Fprintf(w, "Deleting %s\n", opts.called(env))
		}
		return nil
	})
}

// report prints all errors but the first, which it returns.
func (opts *DownOptions) report(failed []error) error {
	if len(failed) == 0 {
		return nil
	}
	for _, err := range failed[1:] {
		opts.Factory.ShowError(err)
	}
	return failed[0]
}
