package pool

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

// NewCmdShow makes `bothy pool show`.
func NewCmdShow(f *cmdutil.Factory, runF func(context.Context, *NameOptions) error) *cobra.Command {
	return onOne(f, &cobra.Command{
		Use:     "show POOL",
		Short:   "Show settings and members of a pool",
		Example: "  bothy pool show builders",
	}, runF, showRun)
}

func showRun(ctx context.Context, opts *NameOptions) error {
	return cmdutil.Ask(opts.Factory, func(c *client.Client) (wire.Pool, error) { return c.Pool(ctx, opts.Name) }, printPool(opts.Factory))
}

// printPool prints a pool as text.
func printPool(f *cmdutil.Factory) func(io.Writer, wire.Pool) error {
	return func(w io.Writer, p wire.Pool) error { return format.Table(w, poolRows(f, p)) }
}

func poolRows(f *cmdutil.Factory, p wire.Pool) [][]string {
	rows := [][]string{
		{"Name", f.IO.Paint(iostreams.Bold, format.Clean(p.Name))},
		{"State", stateOf(f, p)},
	}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	if p.Held != "" {
		add("Paused", format.Clean(p.Held))
		add("Next", "fix the cause, then: bothy pool resume "+format.Clean(p.Name))
	}
	add("Broken", format.Clean(p.Broken))
	if p.Stuck != "" {
		add("Stuck", format.Clean(p.Stuck))
		add("Next", format.Clean(p.StuckHint))
	}
	add("Blueprint", format.Clean(p.Blueprint))
	add("Digest", p.Digest)
	add("Size", sizeOf(p))
	add("Inputs", format.Pairs(p.Inputs))
	add("Target", fmt.Sprintf("%d now (min %d, max %d, surge %d)", p.TargetNow, p.Min, p.Max, more(p)))
	for i, t := range p.Schedule {
		name := "Schedule"
		if i > 0 {
			name = ""
		}
		rows = append(rows, []string{name, formatSchedule(t, p.Zone)})
	}
	if len(p.Schedule) > 0 {
		rows = append(rows, []string{"", fmt.Sprintf("otherwise %d", p.Target)})
	}
	if p.Pause {
		add("Idle members", "frozen (--pause)")
	}
	add("Warm", warm(p))
	add("Creating", fmt.Sprint(p.Making))
	add("Leased", fmt.Sprint(p.Leased))
	if p.Failures > 0 {
		add("Failures", fmt.Sprintf("%d in a row", p.Failures))
	}
	if p.FromFile {
		add("Set by", "the platform team's file")
	} else if p.UpdatedBy != "" {
		add("Set by", fmt.Sprintf("%s, %s", format.Clean(p.UpdatedBy), p.UpdatedAt.Local().Format(time.DateTime)))
	}
	return rows
}

// more returns how many members above the current target may exist during an update. Without --surge it is 1 if --min does not allow
// the pool to delete a member first.
func more(p wire.Pool) int64 {
	now, surge := int64(p.TargetNow), p.Surge
	if surge == 0 && p.Min > 0 && p.Min >= now {
		surge = 1
	}
	return max(min(surge, p.Max-now), 0)
}

func warm(p wire.Pool) string {
	if p.Stale > 0 {
		return fmt.Sprintf("%d (%d outdated)", p.Warm, p.Stale)
	}
	return fmt.Sprint(p.Warm)
}
