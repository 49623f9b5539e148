package blueprint

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
)

// LsOptions are what `blueprint ls` needs.
type LsOptions struct{ Factory *cmdutil.Factory }

// NewCmdLs makes `bothy blueprint ls`.
func NewCmdLs(f *cmdutil.Factory, runF func(context.Context, *LsOptions) error) *cobra.Command {
	opts := &LsOptions{Factory: f}
	return &cobra.Command{
		Use:               "ls",
		Aliases:           []string{"list"},
		Short:             "List the blueprints on offer",
		Example:           "  bothy blueprint ls",
		Args:              cmdutil.Args(0, 0, "no arguments"),
		ValidArgsFunction: cmdutil.NoComplete,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return lsRun(cmd.Context(), opts)
		},
	}
}

func lsRun(ctx context.Context, opts *LsOptions) error {
	f := opts.Factory
	c, err := f.Client()
	if err != nil {
		return err
	}
	blueprints, err := c.Blueprints(ctx)
	if err != nil {
		return err
	}
	list := wire.BlueprintList{Blueprints: append([]wire.Blueprint{}, blueprints...)}
	return f.Print(list, func(w io.Writer) error {
		rows := [][]string{{"NAME", "VERSION", "SIZES", "FROM", "DESCRIPTION"}}
		for _, bp := range blueprints {
			rows = append(rows, []string{format.Clean(bp.Name), format.Clean(bp.Version), sizes(bp), cheapest(bp), format.Clean(bp.Description)})
		}
		return format.Table(w, rows)
	})
}

func sizes(bp wire.Blueprint) string {
	var names []string
	for _, s := range bp.Sizes {
		names = append(names, format.Clean(s.Name))
	}
	return strings.Join(names, ",")
}

// cheapest is the lowest price per hour.
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
