package pool

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
)

// Removed is what `pool rm` prints with --output json.
type Removed struct {
	Removed string `json:"removed"`
}

// NewCmdRm makes `bothy pool rm`.
func NewCmdRm(f *cmdutil.Factory, runF func(context.Context, *NameOptions) error) *cobra.Command {
	return onOne(f, &cobra.Command{
		Use:     "rm POOL",
		Aliases: []string{"remove", "delete"},
		Short:   "Remove a pool",
		Long:    "Remove a pool. Its warm members are taken away; those that were claimed live on. Needs the platform role.",
		Example: "  bothy pool rm builders",
	}, runF, rmRun)
}

func rmRun(ctx context.Context, opts *NameOptions) error {
	c, err := opts.Factory.Client()
	if err != nil {
		return err
	}
	if err := c.RemovePool(ctx, opts.Name); err != nil {
		return err
	}
	return opts.Factory.Print(Removed{opts.Name}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s is removed; its warm members go, those that were claimed live on\n", format.Clean(opts.Name))
		return err
	})
}
