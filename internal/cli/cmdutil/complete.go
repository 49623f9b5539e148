package cmdutil

import (
	"context"
	"math"
	"slices"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/client"
)

// Complete completes arguments or the value of a flag.
type Complete = func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective)

// CompleteEnvironments completes environment names for up to most arguments (-1: any number), each once. It offers deleted
// environments only with gone, and nothing if the daemon does not answer.
func (f *Factory) CompleteEnvironments(most int, gone bool) Complete {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if most >= 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []cobra.Completion
		for _, env := range f.environments(cmd, gone) {
			if !slices.Contains(args, env.Name) {
				names = append(names, cobra.CompletionWithDesc(env.Name, env.State+", "+env.Blueprint.Name))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func (f *Factory) environments(cmd *cobra.Command, gone bool) []wire.Environment {
	c, err := f.Client()
	if err != nil {
		return nil
	}
	ctx, cancel := Bounded(cmd.Context())
	defer cancel()
	envs, err := c.List(ctx, client.ListOptions{All: gone, Limit: 200})
	if err != nil {
		return nil
	}
	return envs
}

// Blueprints lists the daemon's blueprints, for completion; none if the daemon does not answer.
func (f *Factory) Blueprints(cmd *cobra.Command) []wire.Blueprint {
	c, err := f.Client()
	if err != nil {
		return nil
	}
	ctx, cancel := Bounded(cmd.Context())
	defer cancel()
	blueprints, err := c.Blueprints(ctx)
	if err != nil {
		return nil
	}
	return blueprints
}

// CompleteBlueprints completes blueprint names for up to most arguments.
func (f *Factory) CompleteBlueprints(most int) Complete {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var names []cobra.Completion
		if len(args) < most {
			for _, bp := range f.Blueprints(cmd) {
				names = append(names, cobra.CompletionWithDesc(bp.Name, bp.Description))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// CompleteSizes completes --size from the blueprint of --blueprint.
func (f *Factory) CompleteSizes() Complete {
	return func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		wanted := cmd.Flag("blueprint").Value.String()
		var names []cobra.Completion
		for _, bp := range f.Blueprints(cmd) {
			if wanted != "" && bp.Name != wanted {
				continue
			}
			for _, s := range bp.Sizes {
				names = append(names, cobra.CompletionWithDesc(s.Name, format.Rate(s.RateMicrosPerHour, s.Currency)))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// CompletePools completes pool names for up to most arguments.
func (f *Factory) CompletePools(most int) Complete {
	return f.completeNames(most, func(ctx context.Context, c *client.Client) ([]cobra.Completion, error) {
		pools, err := c.Pools(ctx)
		return completions(pools, func(p wire.Pool) cobra.Completion { return cobra.CompletionWithDesc(p.Name, p.Blueprint) }), err
	})
}

// CompleteHosts completes host names for up to most arguments.
func (f *Factory) CompleteHosts(most int) Complete {
	return f.completeNames(most, func(ctx context.Context, c *client.Client) ([]cobra.Completion, error) {
		hosts, err := c.Hosts(ctx)
		return completions(hosts, func(h wire.Host) cobra.Completion { return cobra.CompletionWithDesc(h.Name, h.Endpoint) }), err
	})
}

// CompleteScopes completes scopes that have a quota, for up to most arguments.
func (f *Factory) CompleteScopes(most int) Complete {
	return f.completeNames(most, func(ctx context.Context, c *client.Client) ([]cobra.Completion, error) {
		quotas, err := c.Quotas(ctx)
		return completions(quotas, func(q wire.Quota) cobra.Completion { return q.Scope }), err
	})
}

// CompleteOrphans completes the ids of environments that orphans belong to, and of doubted environments.
func (f *Factory) CompleteOrphans() Complete {
	return f.completeNames(math.MaxInt, func(ctx context.Context, c *client.Client) ([]cobra.Completion, error) {
		report, err := c.Orphans(ctx)
		ids := completions(report.Orphans, func(o wire.Orphan) cobra.Completion {
			return cobra.CompletionWithDesc(o.Environment, o.Kind+" "+o.Name)
		})
		ids = append(slices.Compact(ids), completions(report.Doubted, func(d wire.Doubt) cobra.Completion {
			return cobra.CompletionWithDesc(d.Environment, d.State+" "+d.Name)
		})...)
		return ids, err
	})
}

// completions maps a list to the completions to offer.
func completions[T any](all []T, offer func(T) cobra.Completion) []cobra.Completion {
	var offers []cobra.Completion
	for _, one := range all {
		offers = append(offers, offer(one))
	}
	return offers
}

// completeNames completes from a list of the daemon; it offers nothing if the daemon does not answer.
func (f *Factory) completeNames(most int, list func(context.Context, *client.Client) ([]cobra.Completion, error)) Complete {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		c, err := f.Client()
		if len(args) >= most || err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := Bounded(cmd.Context())
		defer cancel()
		names, err := list(ctx, c)
		if err != nil {
			names = nil
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// CompleteWords completes the value of a flag from fixed words.
func CompleteWords(words ...string) Complete {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// NoComplete offers nothing, not even files.
func NoComplete(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}
