package rate

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/client"
)

// NewCmdLs makes `bothy rate ls`.
func NewCmdLs(f *cmdutil.Factory) *cobra.Command {
	return cmdutil.Ls(&cobra.Command{
		Short:   "List rates, including earlier ones",
		Long:    "Lists rates, including earlier ones. A size without a rate costs the price in bothy blueprint show.",
		Example: "  bothy rate ls",
	}, func(ctx context.Context) error {
		return cmdutil.Ask(f, func(c *client.Client) (wire.RateList, error) {
			rates, err := c.Rates(ctx)
			return wire.RateList{Rates: append([]wire.Rate{}, rates...)}, err
		}, func(w io.Writer, list wire.RateList) error { return table(w, list.Rates) })
	})
}

func table(w io.Writer, rates []wire.Rate) error {
	rows := [][]string{{"BLUEPRINT", "SIZE", "PRICE", "FROM", "SET BY"}}
	for _, r := range rates {
		rows = append(rows, []string{
			format.Clean(r.Blueprint), format.Clean(r.Size), format.Rate(r.MicrosPerHour, r.Currency),
			r.From.Local().Format(time.DateTime), format.Clean(r.SetBy),
		})
	}
	return format.Table(w, rows)
}
