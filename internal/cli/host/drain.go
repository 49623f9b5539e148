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
		Short: "Drain a host: place no new environments there",
		Long: `Drains a host: bothy places no new environments there. Leased environments stay until their lease expires. bothy replaces warm
environments with new ones on other hosts, and keeps them if there is no capacity elsewhere. Requires the platform role.`,
		Example: "  bothy host drain rack2",
	})
}

// NewCmdUndrain makes `bothy host undrain`.
func NewCmdUndrain(f *cmdutil.Factory, runF func(context.Context, *DrainOptions) error) *cobra.Command {
	return drain(f, &DrainOptions{Factory: f}, runF, &cobra.Command{
		Use:     "undrain HOST",
		Short:   "Undo a drain: place new environments again",
		Long:    "Undoes bothy host drain: bothy places new environments on the host again. Requires the platform role.",
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
			said := fmt.Sprintf("Undrained %s\n", format.Clean(h.Name))
			if h.Drained {
				said = fmt.Sprintf("Drained %s (%s running)\n", format.Clean(h.Name), format.Count(int(h.Used.Environments), "environment"))
			}
			_, err := io.WriteString(w, said)
			return err
		})
}
