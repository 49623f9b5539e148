package pool

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
	"github.com/bothy-env/bothy/internal/client"
)

// NewCmdLs makes `bothy pool ls`.
func NewCmdLs(f *cmdutil.Factory) *cobra.Command {
	return cmdutil.Ls(&cobra.Command{
		Short: "List pools",
		Long: `Lists pools. WARM is the number of warm members and the current target. CREATING is the number of members in creation. LEASED
is the number of claimed environments that still exist.`,
		Example: "  bothy pool ls",
	}, func(ctx context.Context) error {
		return cmdutil.Ask(f, func(c *client.Client) (wire.PoolList, error) {
			pools, err := c.Pools(ctx)
			return wire.PoolList{Pools: append([]wire.Pool{}, pools...)}, err
		}, func(w io.Writer, list wire.PoolList) error { return table(w, f, list.Pools) })
	})
}

func table(w io.Writer, f *cmdutil.Factory, pools []wire.Pool) error {
	rows := [][]string{{"NAME", "BLUEPRINT", "SIZE", "WARM", "CREATING", "LEASED", "STATE"}}
	for _, p := range pools {
		rows = append(rows, []string{
			format.Clean(p.Name), format.Clean(p.Blueprint), sizeOf(p), fmt.Sprintf("%d of %d", p.Warm, p.TargetNow),
			fmt.Sprint(p.Making), fmt.Sprint(p.Leased), stateOf(f, p),
		})
	}
	return format.Table(w, rows)
}

func sizeOf(p wire.Pool) string {
	if p.Size == "" {
		return "(default)"
	}
	return format.Clean(p.Size)
}

// stateOf returns the state of a pool as one word; show explains it.
func stateOf(f *cmdutil.Factory, p wire.Pool) string {
	switch {
	case p.Held != "":
		return f.IO.Paint(iostreams.Red, "paused")
	case p.Broken != "":
		return f.IO.Paint(iostreams.Red, "broken")
	case p.Stuck != "":
		return f.IO.Paint(iostreams.Red, "stuck")
	case p.Stale > 0:
		return f.IO.Paint(iostreams.Yellow, "rolling over")
	case p.Warm < p.TargetNow:
		return f.IO.Paint(iostreams.Yellow, "filling")
	}
	return f.IO.Paint(iostreams.Green, "ready")
}
