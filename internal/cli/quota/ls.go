package quota

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/client"
)

// NewCmdLs makes `bothy quota ls`.
func NewCmdLs(f *cmdutil.Factory) *cobra.Command {
	return cmdutil.Ls(&cobra.Command{
		Short:   "List quotas and their usage",
		Example: "  bothy quota ls",
	}, func(ctx context.Context) error {
		return cmdutil.Ask(f, func(c *client.Client) (wire.QuotaList, error) {
			quotas, err := c.Quotas(ctx)
			return wire.QuotaList{Quotas: append([]wire.Quota{}, quotas...)}, err
		}, func(w io.Writer, list wire.QuotaList) error { return table(w, f, list.Quotas) })
	})
}

func table(w io.Writer, f *cmdutil.Factory, quotas []wire.Quota) error {
	rows := [][]string{{"SCOPE", "ENVIRONMENTS", "CPUS", "MEMORY", "HOURS TODAY", "MONEY TODAY", "THIS MONTH"}}
	for _, q := range quotas {
		row := []string{format.Clean(q.Scope)}
		for _, l := range limitsOf(q) {
			if l.short {
				row = append(row, l.text(f))
			}
		}
		rows = append(rows, row)
	}
	return format.Table(w, rows)
}
