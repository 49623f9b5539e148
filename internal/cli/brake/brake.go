// Package brake holds the commands for the reap limiter, one file per verb.
package brake

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
	"github.com/bothy-env/bothy/internal/client"
)

const about = `If more than a quarter of all leases would expire at once, the reap limiter deletes only a few environments at a time. The
usual cause is a clock jump. If the clock is right, release the limiter to delete all overdue environments.`

// NewCmdBrake makes `bothy brake`.
func NewCmdBrake(f *cmdutil.Factory) *cobra.Command {
	cmd := cmdutil.Group("brake", "Reap limiter: limits mass expiry after a clock jump")
	cmd.Long = about
	cmd.Example = "  bothy brake show\n  bothy brake release --yes"
	show := NewCmdShow(f)
	cmd.AddCommand(show, NewCmdRelease(f, nil))
	cmdutil.Default(cmd, show)
	return cmd
}

// NewCmdShow makes `bothy brake show`.
func NewCmdShow(f *cmdutil.Factory) *cobra.Command {
	return cmdutil.Plain(&cobra.Command{
		Use:     "show",
		Short:   "Show whether the reap limiter is on, and why",
		Long:    "Shows whether the reap limiter is on, and why.\n\n" + about,
		Example: "  bothy brake show",
	}, func(ctx context.Context) error {
		return cmdutil.Ask(f, func(c *client.Client) (wire.Brake, error) { return c.Brake(ctx) }, printBrake(f))
	})
}

// printBrake prints the state of the reap limiter as text.
func printBrake(f *cmdutil.Factory) func(io.Writer, wire.Brake) error {
	return func(w io.Writer, b wire.Brake) error {
		if !b.On {
			_, err := fmt.Fprintln(w, "The reap limiter is off.")
			return err
		}
		since := ""
		if b.Since != nil {
			since = " since " + b.Since.Local().Format(time.DateTime)
		}
		_, err := fmt.Fprintf(w, "The reap limiter is %s%s: %s\nIt has deleted %d of %s since. To delete all overdue environments: bothy brake release --yes\n",
			f.IO.Paint(iostreams.Yellow, "on"), since, format.Clean(b.Reason), b.Reaped, format.Count(b.Live, "environment"))
		return err
	}
}
