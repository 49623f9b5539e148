// Package cost holds the command that reports costs.
package cost

import (
	"context"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
	"github.com/bothy-env/bothy/internal/client"
)

// CostOptions are the flags of cost.
type CostOptions struct {
	Factory          *cmdutil.Factory
	By, Since, Until string
}

// groups are the allowed values of --by.
var groups = []string{"user", "team", "tenant", "blueprint", "project", "pool", "day", "host", "pull-request", "environment"}

// NewCmdCost makes `bothy cost`.
func NewCmdCost(f *cmdutil.Factory, runF func(context.Context, *CostOptions) error) *cobra.Command {
	opts := &CostOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "cost",
		Short: "Show costs, highest first",
		Long: `Shows the costs of environments by group, highest first. Covers your tenant, or every tenant with the platform role. Running
environments count up to now.

Each second of an environment counts in one column: LEASED, POOL (warm), CREATING, FAILED or DELETING. Projects and pull requests
of several tenants have the form TENANT/NAME.`,
		Example: `  bothy cost
  bothy cost --by team --since 7d
  bothy cost --by day --since 2026-01-01T00:00:00Z --until 2026-02-01T00:00:00Z --output json`,
		Args:              cmdutil.Args(0, 0, "no arguments"),
		ValidArgsFunction: cmdutil.NoComplete,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return costRun(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.By, "by", "user", "Grouping `key`: user, team, tenant, blueprint, project, pool, day, host, pull-request or environment")
	flags.StringVar(&opts.Since, "since", "", "Start of the period: a `duration` before now such as 7d, or an RFC 3339 time")
	flags.StringVar(&opts.Until, "until", "", "End of the period: a `duration` before now, or an RFC 3339 time")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("by", cmdutil.CompleteWords(groups...)))
	return cmd
}

func costRun(ctx context.Context, opts *CostOptions) error {
	f := opts.Factory
	if err := cmdutil.OneOf("by", opts.By, groups...); err != nil {
		return err
	}
	c, err := f.Client()
	if err != nil {
		return err
	}
	now := sync.OnceValues(func() (time.Time, error) { return c.Clock(ctx) })
	since, err := cmdutil.Moment("since", opts.Since, now)
	if err != nil {
		return err
	}
	until, err := cmdutil.Moment("until", opts.Until, now)
	if err != nil {
		return err
	}
	if !until.IsZero() && !since.Before(until) {
		return cmdutil.Usagef("--until: got %q, want a time after --since", opts.Until)
	}
	return cmdutil.Ask(f, func(c *client.Client) (wire.CostReport, error) { return c.Cost(ctx, opts.By, since, until) },
		func(w io.Writer, report wire.CostReport) error { return table(w, f, report) })
}

func table(w io.Writer, f *cmdutil.Factory, report wire.CostReport) error {
	rows := [][]string{{heading(report.By), "TIME", "LEASED", "POOL", "CREATING", "FAILED", "DELETING", "TOTAL"}}
	for _, r := range report.Rows {
		key := format.Clean(r.Key)
		if key == "" {
			key = "(none)"
		}
		rows = append(rows, row(key, r))
	}
	if len(report.Rows) > 1 && report.Total.Currency != "" {
		rows = append(rows, row(f.IO.Paint(iostreams.Bold, "total"), report.Total))
	}
	return format.Table(w, rows)
}

func heading(by string) string {
	switch by {
	case "day":
		return "DAY (UTC)"
	case "pull-request":
		return "PULL REQUEST"
	}
	return strings.ToUpper(by)
}

func row(key string, r wire.CostRow) []string {
	cells := []string{key, format.Duration(time.Duration(r.Seconds) * time.Second)}
	for _, micros := range []int64{r.LeasedMicros, r.PoolMicros, r.ProvisioningMicros, r.FailedMicros, r.DestroyingMicros, r.TotalMicros} {
		text := "-"
		if micros != 0 {
			text = format.Money(micros, r.Currency)
		}
		cells = append(cells, text)
	}
	return cells
}
