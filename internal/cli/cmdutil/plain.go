package cmdutil

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/client"
)

// Ask makes one call to the daemon and prints the answer: as JSON, or with text.
func Ask[T any](f *Factory, ask func(*client.Client) (T, error), text func(io.Writer, T) error) error {
	c, err := f.Client()
	if err != nil {
		return err
	}
	answer, err := ask(c)
	if err != nil {
		return err
	}
	return f.Print(answer, func(w io.Writer) error { return text(w, answer) })
}

// Plain completes a command without arguments and flags of its own.
func Plain(cmd *cobra.Command, run func(context.Context) error) *cobra.Command {
	cmd.Args, cmd.ValidArgsFunction = Args(0, 0, "no arguments"), NoComplete
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return run(cmd.Context()) }
	return cmd
}

// Ls completes a plain command as the group's `ls`.
func Ls(cmd *cobra.Command, run func(context.Context) error) *cobra.Command {
	cmd.Use, cmd.Aliases = "ls", []string{"list"}
	return Plain(cmd, run)
}

// Default runs usual when a group is called without a subcommand.
func Default(group, usual *cobra.Command) {
	group.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return UnknownCommand(cmd, args[0])
		}
		usual.SetContext(cmd.Context())
		return usual.RunE(usual, nil)
	}
}
