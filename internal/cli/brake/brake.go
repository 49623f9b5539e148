// Package brake holds the commands on the brake, one file per verb.
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

const about = `When more than a quarter of all leases would end at once, as after a jump of the clock, the brake lets go only a few at a
time and says so. When the clock is right and they are meant to end, release it.`

// NewCmdBrake makes `bothy brake`.
func NewCmdBrake(f *cmdutil.Factory) *cobra.Command {
	cmd := cmdutil.Group("brake", "The brake: what keeps the clock from ending leases in mass")
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
		Short:   "Say whether the brake is on, and why",
		Long:    "Say whether the brake is on, and why.\n\n" + about,
		Example: "  bothy brake show",
	}, func(ctx context.Context) error {
		return cmdutil.Ask(f, func(c *client.Client) (wire.Brake, error) { return c.Brake(ctx) }, printBrake(f))
	})
}

// printBrake tells people of the brake.
func printBrake(f *cmdutil.Factory) func(io.Writer, wire.Brake) error {
	return func(w io.Writer, b wire.Brake) error {
		if !b.On {
			_, err := fmt.Fprintln(w, "The brake is off.")
			return err
		}
		since := ""
		if b.Since != nil {
			since = " since " + b.Since.Local().Format(time.DateTime)
		}
		_, err := fmt.Fprintf(w, "The brake is %s%s: %s\n%d of %s were let go since. If they are meant to end: bothy brake release --yes\n",
			f.IO.Paint(iostreams.Yellow, "on"), since, format.Clean(b.Reason), b.Reaped, format.Count(b.Live, "environment"))
		return err
	}
}
