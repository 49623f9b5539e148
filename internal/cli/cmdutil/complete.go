package cmdutil

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
)

// Complete completes arguments or a flag's value.
type Complete = func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective)

// CompleteEnvironments completes names of environments, at most most arguments (-1: any number), none twice.
// Those that are gone are offered only with gone. A daemon that does not answer offers nothing.
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

// Blueprints asks the daemon for what it offers, for completion; nothing when it does not answer.
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

// CompleteBlueprints completes names of blueprints, at most most arguments.
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

// CompleteWords completes a flag's value from fixed words.
func CompleteWords(words ...string) Complete {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// NoComplete offers nothing, not even files.
func NoComplete(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}
