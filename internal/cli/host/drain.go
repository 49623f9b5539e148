package host

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

// DrainOptions are the arguments of drain and undrain.
type DrainOptions struct {
	Factory *cmdutil.Factory
	Name    string
	Drained bool
}

// NewCmdDrain makes `bothy host drain`.
func NewCmdDrain(f *cmdutil.Factory, runF func(context.Context, *DrainOptions) error) *cobra.Command {
	return drain(f, &DrainOptions{Factory: f, Drained: true}, runF, &cobra.Command{
		Use:   "drain HOST",
		Short: "Place nothing new on a host",
		Long: "Place nothing new on a host. What is leased there stays until its lease ends; warm members of pools are replaced by others\n" +
			"elsewhere, and stay where there is no room for these. Needs the platform role.",
		Example: "  bothy host drain rack2",
	})
}

// NewCmdUndrain makes `bothy host undrain`.
func NewCmdUndrain(f *cmdutil.Factory, runF func(context.Context, *DrainOptions) error) *cobra.Command {
	return drain(f, &DrainOptions{Factory: f}, runF, &cobra.Command{
		Use:     "undrain HOST",
		Short:   "Let a host be used again",
		Long:    "Let a host be used again that was drained. Needs the platform role.",
		Example: "  bothy host undrain rack2",
	})
}

// drain completes both.
func drain(f *cmdutil.Factory, opts *DrainOptions, runF func(context.Context, *DrainOptions) error, cmd *cobra.Command) *cobra.Command {
	cmd.Args = cmdutil.Args(1, 1, "the name of one host")
	cmd.ValidArgsFunction = f.CompleteHosts(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		opts.Name = args[0]
		if runF != nil {
			return runF(cmd.Context(), opts)
		}
		return drainRun(cmd.Context(), opts)
	}
	return cmd
}

func drainRun(ctx context.Context, opts *DrainOptions) error {
	return cmdutil.Ask(opts.Factory, func(c *client.Client) (wire.Host, error) { return c.DrainHost(ctx, opts.Name, opts.Drained) },
		func(w io.Writer, h wire.Host) error {
			said := "is used again"
			if h.Drained {
				said = fmt.Sprintf("gets nothing new; %s on it", format.Count(int(h.Used.Environments), "environment"))
			}
			_, err := fmt.Fprintf(w, "%s %s\n", format.Clean(h.Name), said)
			return err
		})
}
