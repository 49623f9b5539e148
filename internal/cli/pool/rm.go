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
		Short:   "Delete a pool",
		Long:    "Deletes a pool and its warm members. Claimed environments continue to run. Requires the platform role.",
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
		_, err := fmt.Fprintf(w, "Deleted pool %s. bothy deletes its warm members. Claimed environments continue to run.\n", format.Clean(opts.Name))
		return err
	})
}
