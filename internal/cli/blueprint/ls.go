package blueprint

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/client"
)

// NewCmdLs makes `bothy blueprint ls`.
func NewCmdLs(f *cmdutil.Factory) *cobra.Command {
	return cmdutil.Ls(&cobra.Command{
		Short:   "List blueprints",
		Example: "  bothy blueprint ls",
	}, func(ctx context.Context) error {
		return cmdutil.Ask(f, func(c *client.Client) (wire.BlueprintList, error) {
			blueprints, err := c.Blueprints(ctx)
			return wire.BlueprintList{Blueprints: append([]wire.Blueprint{}, blueprints...)}, err
		}, func(w io.Writer, list wire.BlueprintList) error { return table(w, list.Blueprints) })
	})
}

func table(w io.Writer, blueprints []wire.Blueprint) error {
	rows := [][]string{{"NAME", "VERSION", "SIZES", "FROM", "DESCRIPTION"}}
	for _, bp := range blueprints {
		rows = append(rows, []string{format.Clean(bp.Name), format.Clean(bp.Version), sizes(bp), cheapest(bp), format.Clean(bp.Description)})
	}
	return format.Table(w, rows)
}

func sizes(bp wire.Blueprint) string {
	var names []string
	for _, s := range bp.Sizes {
		names = append(names, format.Clean(s.Name))
	}
	return strings.Join(names, ",")
}

// cheapest returns the lowest price per hour.
func cheapest(bp wire.Blueprint) string {
	if len(bp.Sizes) == 0 {
		return "-"
	}
	low := bp.Sizes[0]
	for _, s := range bp.Sizes {
		if s.RateMicrosPerHour < low.RateMicrosPerHour {
			low = s
		}
	}
	return format.Rate(low.RateMicrosPerHour, low.Currency)
}
