package cmdutil

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// Group makes a command that only has subcommands. Called alone it shows its help. An unknown name is a usage error that suggests
// the nearest command.
func Group(use, short string) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ArbitraryArgs,

		SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return UnknownCommand(cmd, args[0])
		},
	}
}

// UnknownCommand returns the error for a name that is no command of cmd.
func UnknownCommand(cmd *cobra.Command, name string) error {
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		return Usagef("unknown command %q", cmd.CommandPath()+" "+name).WithHint("%s %s", cmd.CommandPath(), near[0])
	}
	return Usagef("unknown command %q", cmd.CommandPath()+" "+name).WithHint("%s --help", cmd.CommandPath())
}

// Args checks the number of arguments: at least least, at most most (-1: any number), none of them empty. what describes them in
// the error.
func Args(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		empty := slices.Contains(args, "") // usually an unset variable in a script
		if len(args) >= least && (most < 0 || len(args) <= most) && !empty {
			return nil
		}
		got := "nothing"
		if empty {
			got = "an empty argument"
		} else if len(args) > 0 {
			got = fmt.Sprintf("%q", strings.Join(args, " "))
		}
		return Usagef("%s: got %s, want %s", cmd.CommandPath(), got, what).WithHint("%s --help", cmd.CommandPath())
	}
}

// Pairs parses a flag's values of the form key=value; want is that form as the flag's help writes it.
func Pairs(flag, want string, values []string) (map[string]string, error) {
	pairs := map[string]string{}
	for _, v := range values {
		key, value, found := strings.Cut(v, "=")
		if !found || key == "" {
			return nil, Usagef("--%s: got %q, want %s", flag, v, want)
		}
		pairs[key] = value
	}
	return pairs, nil
}

// Inputs parses --param. The daemon checks the types, because it knows the blueprint.
func Inputs(values []string) (map[string]any, error) {
	pairs, err := Pairs("param", "key=value", values)
	inputs := map[string]any{}
	for key, value := range pairs {
		inputs[key] = value
	}
	return inputs, err
}

// OneOf checks a flag's value against the allowed ones.
func OneOf(flag, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return Usagef("--%s: got %q, want %s", flag, value, strings.Join(allowed, " or "))
}
